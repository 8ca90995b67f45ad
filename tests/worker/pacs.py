"""A PACS on loopback that answers as it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from core.destinations import DICOMDestination

Answer = Callable[[evt.Event], int]


def status(code: int) -> Answer:
    return lambda _event: code


def abort(event: evt.Event) -> int:
    event.assoc.abort()
    return 0x0000


def silence(_event: evt.Event) -> int:
    time.sleep(3)
    return 0x0000


@dataclass
class FakePACS:
    destination: DICOMDestination
    stored: list[bytes] = field(default_factory=list)
    associations: int = 0


@contextmanager
def pacs(answer: Answer, *, accepts_reports: bool = True, called_ae_title: str = "PACS") -> Iterator[FakePACS]:
    ae = AE(ae_title="PACS")
    ae.require_called_aet = True
    ae.add_supported_context(SecondaryCaptureImageStorage)
    if accepts_reports:
        ae.add_supported_context(ComprehensiveSRStorage)

    def store(event: evt.Event) -> int:
        fake.stored.append(event.request.DataSet.getvalue())
        return answer(event)

    def accepted(_event: evt.Event) -> None:
        fake.associations += 1

    handlers: list[Any] = [(evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, accepted)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = server.server_address[1]
    fake = FakePACS(
        DICOMDestination(name="pacs", ae_title=called_ae_title, host="127.0.0.1", port=port, timeout_seconds=1.5)
    )
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
