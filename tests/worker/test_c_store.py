"""Every answer a PACS can give, over real associations."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from core.destinations import DICOMDestination
from core.fields import TLS
from core.records import DeliveryJob
from core.settings import DeliverySettings
from core.spool import Spool
from tests.services import free_port, require_program
from tests.worker.pacs import Answer, abort, pacs, silence, status, stored
from tests.worker.peers import Certificates, make_certificates
from worker.answers import Refused, Sent, pause_before_retry
from worker.c_store import deliver


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path.as_uri())


def send(jobs: list[DeliveryJob], destination: DICOMDestination, spool: Spool) -> list[Sent | Refused]:
    answered = list(deliver(jobs, destination, spool, "PNEUMO"))
    assert [delivery.id for delivery, _ in answered] == [delivery.id for delivery in jobs]
    return [answer for _, answer in answered]


FATES = [
    (0x0000, Sent(0x0000)),
    (0xB000, Sent(0xB000)),
    (0xB007, Sent(0xB007)),
    (0x0111, Sent(0x0111)),
    (0xA700, Refused("out_of_resources", permanent=False, status=0xA700)),
    (0xA701, Refused("out_of_resources", permanent=False, status=0xA701)),
    (0x0110, Refused("refused", permanent=False, status=0x0110)),
    (0xA900, Refused("data_set_does_not_match_sop_class", permanent=True, status=0xA900)),
    (0xC000, Refused("cannot_understand", permanent=True, status=0xC000)),
    (0xCFFF, Refused("cannot_understand", permanent=True, status=0xCFFF)),
    (0x0122, Refused("sop_class_not_supported", permanent=True, status=0x0122)),
    (0x0124, Refused("not_authorised", permanent=True, status=0x0124)),
]


def test_a_status_means_a_fate(spool: Spool) -> None:
    codes = iter([code for code, _ in FATES])
    with pacs(lambda _event: next(codes)) as fake:
        answers = send([stored(spool, number) for number in range(len(FATES))], fake.destination, spool)
    assert answers == [answer for _, answer in FATES]


def test_what_arrives_is_what_was_stored(spool: Spool) -> None:
    delivery = stored(spool)
    with pacs(status(0x0000)) as fake:
        send([delivery], fake.destination, spool)
    assert spool.read(delivery.spool_name).endswith(fake.stored[0])


def test_one_association_carries_all(spool: Spool) -> None:
    jobs = [
        stored(spool, number, uid) for number, uid in enumerate([SecondaryCaptureImageStorage, ComprehensiveSRStorage])
    ]
    with pacs(status(0x0000)) as fake:
        assert send(jobs, fake.destination, spool) == [Sent(0), Sent(0)]
        assert fake.associations == 1


def test_a_pacs_without_reports_takes_the_pictures(spool: Spool) -> None:
    jobs = [stored(spool, 1, ComprehensiveSRStorage), stored(spool, 2)]
    with pacs(status(0x0000), accepts_reports=False) as fake:
        assert send(jobs, fake.destination, spool) == [Refused("no_accepted_context", permanent=True), Sent(0)]


def test_no_context_at_all_is_for_good(spool: Spool) -> None:
    with pacs(status(0x0000), accepts_reports=False) as fake:
        answers = send([stored(spool, 1, ComprehensiveSRStorage)], fake.destination, spool)
    assert answers == [Refused("no_accepted_context", permanent=True)]


def test_a_rejected_association_is_for_good(spool: Spool) -> None:
    with pacs(status(0x0000), called_ae_title="WRONG") as fake:
        assert send([stored(spool)], fake.destination, spool) == [Refused("association_rejected", permanent=True)]


# pynetdicom drops the socket of a failed connection instead of closing it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pacs_that_is_down_is_tried_again(spool: Spool) -> None:
    down = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port(), timeout_seconds=1)
    assert send([stored(spool), stored(spool, 2)], down, spool) == [Refused("no_association", permanent=False)] * 2


@pytest.mark.parametrize("answer", [abort, silence])
def test_an_answer_that_never_comes_is_not_success(answer: Answer, spool: Spool) -> None:
    with pacs(answer) as fake:
        impatient = fake.destination.model_copy(update={"timeout_seconds": 2})
        first, second = send([stored(spool), stored(spool, 2)], impatient, spool)
    assert first == Refused("no_answer", permanent=False)
    assert second == Refused("association_lost", permanent=False)


def test_pauses_double_up_to_the_longest() -> None:
    settings = DeliverySettings(first_retry_seconds=10, longest_pause_seconds=100)
    for attempts, seconds in ((1, 10), (2, 20), (3, 40), (5, 100), (5000, 100)):
        assert 0.8 * seconds <= pause_before_retry(attempts, settings) <= 1.2 * seconds


@pytest.mark.parametrize(
    ("preference", "taken", "used"),
    [
        (("explicit", "implicit"), [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        (("explicit", "implicit"), [ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        (("implicit", "explicit"), [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ImplicitVRLittleEndian),
        (("implicit",), [ExplicitVRLittleEndian], None),
    ],
)
def test_the_preferred_syntax_that_is_taken_is_used(
    preference: tuple[str, ...], taken: list[str], used: str | None, spool: Spool
) -> None:
    delivery = stored(spool)
    with pacs(status(0x0000), syntaxes=taken) as fake:
        destination = fake.destination.model_copy(update={"transfer_syntaxes": preference})
        answers = send([delivery], destination, spool)
    if used is None:
        assert answers == [Refused("no_accepted_context", permanent=True)]
        return
    assert (answers, fake.syntaxes) == ([Sent(0)], [used])
    received = read_dataset(BytesIO(fake.stored[0]), used == ImplicitVRLittleEndian, is_little_endian=True)
    assert received == dcmread(BytesIO(spool.read(delivery.spool_name)))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@contextmanager
def storescp(certificates: Certificates, folder: Path, server: str = "server") -> Iterator[DICOMDestination]:
    """DCMTK's, over TLS, which asks callers for a certificate of ``ca``."""
    port = free_port()
    command = [
        require_program("storescp"), "--aetitle", "PACS", "+tls", str(certificates.key(server)),
        str(certificates.pem(server)), "+cf", str(certificates.pem("ca")), "-od", str(folder), str(port),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                time.sleep(0.02)
            yield DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, timeout_seconds=3)
        finally:
            process.terminate()


def test_tls_with_a_certificate_on_either_side(certificates: Certificates, spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "received"
    folder.mkdir()
    with storescp(certificates, folder) as destination:
        good = destination.model_copy(update={"tls": certificates.tls()})
        assert send([stored(spool)], good, spool) == [Sent(0)]
        for tls in (certificates.tls(ca="stranger"), certificates.tls(certificate=None), TLS()):
            refused = send([stored(spool)] * 2, destination.model_copy(update={"tls": tls}), spool)
            assert refused == [Refused("tls_refused", permanent=False)] * 2
    assert len(list(folder.iterdir())) == 1


def test_a_certificate_of_another_host_is_not_trusted(certificates: Certificates, spool: Spool, tmp_path: Path) -> None:
    with storescp(certificates, tmp_path, "elsewhere") as destination:
        wrong = destination.model_copy(update={"tls": certificates.tls()})
        assert send([stored(spool)], wrong, spool) == [Refused("tls_refused", permanent=False)]


def test_tls_towards_a_pacs_without_it(certificates: Certificates, spool: Spool) -> None:
    with pacs(status(0x0000)) as fake:
        wrong = fake.destination.model_copy(update={"tls": certificates.tls()})
        assert send([stored(spool)], wrong, spool) == [Refused("tls_refused", permanent=False)]
        missing = fake.destination.model_copy(update={"tls": TLS(ca=Path("gone.pem"))})
        assert send([stored(spool)], missing, spool) == [Refused("not_usable_as_configured", permanent=False)]
    assert fake.stored == []
