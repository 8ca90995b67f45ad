"""Every kind of object we make, stored by the PACS of others and found there byte by byte: Orthanc's, DCMTK's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydicom import Dataset
from sqlalchemy import select

from audit.deliveries import DeliveryFilter, requeue_deliveries, select_deliveries
from audit.models import Delivery, ResultObject
from audit.studies import release_idle_studies
from cli.phantom import draw
from core.destinations import Destination, DICOMDestination, DICOMwebDestination
from core.records import MESSAGE_KINDS, DeliveryState, ResultKind
from core.settings import ListenerSettings, Settings
from dicom.envelope import write
from dicom.wrapping import Wrapping, dx_from_image
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from pacs_listener.server import build_server
from tests.pacs_listener.room import WatchingWaker
from tests.services import free_port, require_program
from tests.system.orthanc import DICOMWEB, Orthanc
from tests.system.service import wait_until
from tests.worker.peers import Certificates, make_certificates
from tests.worker.rooms import Rooms, rooms
from worker.conclusions import conclude
from worker.confirmation import Confirmations
from worker.outbox import Outbox

OUR_PORT = free_port()
# Dialects of one report exclude each other at a destination, so these are two, which stand for the same PACS.
KINDS = {
    "pacs": (
        ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT, ResultKind.PRESENTATION_STATE, ResultKind.SEGMENTATION,
        ResultKind.ENCAPSULATED_PDF, ResultKind.STUDY_SUMMARY, ResultKind.KEY_OBJECTS,
    ),
    "pacs-3d": (ResultKind.REPORT_3D,),
    "pacs-stone": (ResultKind.REPORT_STONE,),
}  # fmt: skip
SENT, CONFIRMED = DeliveryState.SENT, DeliveryState.CONFIRMED


def as_dicom(name: str, ae_title: str, port: int, **more: object) -> DICOMDestination:
    return DICOMDestination.model_validate(
        {"name": name, "ae_title": ae_title, "host": "127.0.0.1", "port": port, "objects": KINDS[name],
         "timeout_seconds": 20, "confirm_after_seconds": 0.001, **more}
    )  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    """A study of a healthy and an ill film of one invented child, analysed and concluded; its results are due."""
    study = "2.25.20260301"
    with rooms(tmp_path_factory.mktemp("house"), *(as_dicom(name, "PACS", 104) for name in KINDS)) as made:
        for number, pneumonia in enumerate((True, False), 1):
            about = Wrapping(
                patient_id="DEMO-004", patient_name="Demo^Dov", patient_sex="M", patient_age="003Y",
                taken=datetime(2026, 3, 1, tzinfo=UTC), study_instance_uid=study, instance_number=number,
                seed=f"film {number}",
            )  # fmt: skip
            film: Dataset = dx_from_image(draw(20, pneumonia, rows=1020, columns=1480), about)
            made.book(write(film), sop_instance_uid=str(film.SOPInstanceUID), study=study)
        made.inference(Classifier.load(DEFAULT_WEIGHTS)).drain()
        with made.database.write() as session:
            release_idle_studies(session, 0, conclude=True)
        conclude(made.settings, made.database, made.spool)
        yield made


def deliveries(house: Rooms) -> list[Delivery]:
    with house.database.read() as session:
        return list(session.scalars(select_deliveries(DeliveryFilter())))


def deliver(house: Rooms, *destinations: Destination, listener: ListenerSettings | None = None) -> Settings:
    """Send everything, as if nothing of it had ever been sent."""
    with house.database.write() as session:
        requeue_deliveries(session, DeliveryFilter(), "test")
    settings = house.settings.model_copy(
        update={"destinations": destinations, "listener": listener or house.settings.listener}
    )
    assert Outbox(settings, house.database, house.spool).drain() is False
    refused = [(row.result_object.kind, row.last_error) for row in deliveries(house) if row.state is not SENT]
    assert refused == []
    return settings


def digests(house: Rooms) -> dict[str, str]:
    """Of the data sets that we made, by SOP Instance UID."""
    with house.database.read() as session:
        objects = session.scalars(select(ResultObject).where(ResultObject.kind.not_in(MESSAGE_KINDS)))
        return {row.sop_instance_uid: digest(house.spool.read(row.spool_name)) for row in objects}


def digest(file: bytes) -> str:
    """Of what follows the File Meta Information, which every PACS writes anew (PS3.10 7.1)."""
    length = int.from_bytes(file[140:144], "little")
    return sha256(file[144 + length :]).hexdigest()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Orthanc]:
    """DICOM is taken over TLS alone, from whom a certificate vouches for; DICOMweb with a password."""
    server = Orthanc(
        tmp_path_factory.mktemp("orthanc") / "pacs",
        plugins=[DICOMWEB],
        settings={
            "DicomTlsEnabled": True,
            "DicomTlsRemoteCertificateRequired": True,
            "DicomTlsCertificate": str(certificates.pem("server")),
            "DicomTlsPrivateKey": str(certificates.key("server")),
            "DicomTlsTrustedCertificates": str(certificates.pem("ca")),
            "DicomModalities": {
                "pneumo": {"AET": "PNEUMO", "Host": "127.0.0.1", "Port": OUR_PORT, "UseDicomTls": True},
            },
            "AuthenticationEnabled": True,
            "RegisteredUsers": {"pneumo": "a password"},
        },
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def empty(orthanc: Orthanc) -> Orthanc:
    orthanc.forget()
    return orthanc


def kept(orthanc: Orthanc) -> dict[str, str]:
    return {instance["sop_instance_uid"]: digest(orthanc.file(instance["id"])) for instance in orthanc.instances()}


def test_all_kinds_of_objects_are_under_test(house: Rooms) -> None:
    made = {row.result_object.kind for row in deliveries(house)}
    assert made == {kind for kinds in KINDS.values() for kind in kinds}


@pytest.mark.parametrize("confirm", ["commitment", "query"])
def test_orthanc_over_dicom_tls(
    house: Rooms, empty: Orthanc, certificates: Certificates, confirm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Orthanc reports commitment over an association of its own, to where its configuration says we are.
    monkeypatch.setattr("worker.commitment._REPORT_SECONDS", 0.1)
    settings = deliver(
        house,
        *(as_dicom(name, empty.ae_title, empty.port, tls=certificates.tls(), confirm=confirm) for name in KINDS),
        listener=ListenerSettings(
            port=OUR_PORT,
            disk_reserve_bytes=0,
            tls_certificate=certificates.pem("client"),
            tls_key=certificates.key("client"),
            tls_ca=certificates.pem("ca"),
        ),
    )
    assert kept(empty) == digests(house)
    listener = build_server(settings, house.database, house.spool, WatchingWaker(house.database, house.spool))
    listener.start()
    try:
        Confirmations(settings, house.database).drain()
        wait_until(lambda: {row.state for row in deliveries(house)} == {CONFIRMED}, 10, "everything to be confirmed")
    finally:
        listener.shutdown()
    assert {row.repeats for row in deliveries(house)} == {0}


def test_orthanc_over_dicomweb(house: Rooms, empty: Orthanc) -> None:
    settings = deliver(
        house,
        *(
            DICOMwebDestination(
                type="dicomweb", name=name, objects=kinds, url=f"{empty.url}/dicom-web", confirm_after_seconds=0.001,
                username="pneumo", password=SecretStr("a password"),
            )
            for name, kinds in KINDS.items()
        ),
    )  # fmt: skip
    assert kept(empty) == digests(house)
    Confirmations(settings, house.database).drain()
    assert {(row.state, row.repeats) for row in deliveries(house)} == {(CONFIRMED, 0)}


@contextmanager
def running(port: int, *command: str) -> Iterator[None]:
    # DCMTK leaves Nagle's algorithm on, which costs 40 ms per object.
    with subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"}, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                assert time.monotonic() < deadline, command[0]
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def test_storescp_over_plain_dicom(house: Rooms, tmp_path: Path) -> None:
    port = free_port()
    with running(port, require_program("storescp"), "+B", "-od", str(tmp_path), "-aet", "PACS", str(port)):
        deliver(house, *(as_dicom(name, "PACS", port) for name in KINDS))
    stored = [digest(path.read_bytes()) for path in tmp_path.iterdir()]
    assert sorted(stored) == sorted(digests(house).values())


_DCMQRSCP = """
NetworkTCPPort = {port}
MaxPDUSize = 65536
MaxAssociations = 8
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
PACS {folder} RW (100, 512mb) ANY
AETable END
"""


def test_dcmqrscp_is_asked_by_c_find_whether_it_has_them(house: Rooms, tmp_path: Path) -> None:
    port, folder, configuration = free_port(), tmp_path / "images", tmp_path / "dcmqrscp.cfg"
    folder.mkdir()
    configuration.write_text(_DCMQRSCP.format(port=port, folder=folder))
    with running(port, require_program("dcmqrscp"), "+B", "-c", str(configuration)):
        settings = deliver(house, *(as_dicom(name, "PACS", port, confirm="query") for name in KINDS))
        Confirmations(settings, house.database).drain()
        assert {(row.state, row.repeats) for row in deliveries(house)} == {(CONFIRMED, 0)}
    stored = [digest(path.read_bytes()) for path in folder.glob("*.dcm")]
    assert sorted(stored) == sorted(digests(house).values())
