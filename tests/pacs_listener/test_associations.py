"""Who is let in, and what is heard of those who are not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, DigitalXRayImageStorageForPresentation
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from audit.journal import Journal
from audit.session import Database
from core.settings import Source
from core.transfer_syntaxes import READABLE
from pacs_listener import statuses
from pacs_listener.admission import STORAGE_CLASSES
from tests.pacs_listener.room import CALLER, Room, radiograph, running
from tests.services import require_program


def reasons(association: Association) -> tuple[int, int, int]:
    assert association.is_rejected
    answer = association.acceptor.primitive
    return answer.result, answer.result_source, answer.diagnostic


def test_echo_from_every_title_of_a_source(room: Room) -> None:
    for title in (CALLER, "MODALITY2"):
        with room.association(title) as association:
            assert association.send_c_echo().Status == statuses.SUCCESS


def test_echoscu(room: Room) -> None:
    command = [require_program("echoscu"), "-aet", CALLER, "-aec", "PNEUMO", "127.0.0.1", str(room.port)]
    subprocess.run(command, check=True, timeout=30)


def test_unknown_caller_is_refused_and_recorded_once(room: Room) -> None:
    for _ in range(3):
        with room.association("STRANGER") as association:
            assert reasons(association) == (1, 1, 3)
    (event,) = room.events("association.refused")
    assert event.actor == "STRANGER"
    assert event.data == {"called_ae_title": "PNEUMO", "address": "127.0.0.1", "cause": "calling_ae_title_unknown"}


def test_wrong_called_title_is_refused_and_recorded(room: Room) -> None:
    with room.association(called="SOMEONE") as association:
        assert reasons(association) == (1, 1, 7)
    (event,) = room.events("association.refused")
    assert (event.data["called_ae_title"], event.data["cause"]) == ("SOMEONE", "called_ae_title_unknown")


def test_known_title_from_another_address_is_refused(tmp_path: Path) -> None:
    sources = (
        Source(name="far", ae_titles=("FAR",), addresses=("192.0.2.7",)),
        Source(name="near", ae_titles=("NEAR",), addresses=("192.0.2.7", "127.0.0.1")),
    )
    with running(tmp_path, sources=sources) as room:
        with room.association("FAR") as association:
            assert reasons(association) == (1, 1, 3)
        with room.association("NEAR") as association:
            assert association.is_established
        assert [event.data["cause"] for event in room.events("association.refused")] == ["address_not_allowed"]


def test_without_sources_nobody_is_let_in(tmp_path: Path) -> None:
    with running(tmp_path, sources=()) as room, room.association() as association:
        assert reasons(association) == (1, 1, 3)


def test_limit_of_associations_is_transient_and_counts_only_those_let_in(tmp_path: Path) -> None:
    with running(tmp_path, maximum_associations=2) as room:
        with room.association() as first, room.association() as second, room.association() as third:
            assert first.is_established
            assert second.is_established
            assert reasons(third) == (2, 3, 2)
        with room.association() as fourth:
            assert fourth.is_established


def test_a_refusal_needs_no_database(room: Room) -> None:
    room.database.close()
    for each in room.settings.home.glob("pneumo.db*"):
        each.write_bytes(b"no database" * 1000)
    with room.association("STRANGER") as association:
        assert reasons(association) == (1, 1, 3)
    with room.association() as association:
        assert association.send_c_echo().Status == statuses.SUCCESS


def test_what_is_offered(room: Room) -> None:
    ae = AE(ae_title=CALLER)
    for sop_class in STORAGE_CLASSES:
        for syntax in READABLE:
            ae.add_requested_context(sop_class, syntax)
    ae.add_requested_context(Verification)
    wanted = len(ae.requested_contexts)
    ae.add_requested_context(DigitalXRayImageStorageForPresentation, DeflatedExplicitVRLittleEndian)
    ae.add_requested_context(CTImageStorage)
    association = ae.associate("127.0.0.1", room.port, ae_title="PNEUMO")
    assert association.is_established
    assert len(association.accepted_contexts) == wanted
    refused = {(context.abstract_syntax, context.result) for context in association.rejected_contexts}
    # PS3.8 Table 9-18: 3 is abstract syntax, 4 transfer syntaxes not supported
    assert refused == {(DigitalXRayImageStorageForPresentation, 4), (CTImageStorage, 3)}
    assert association.acceptor.maximum_length == 131072
    association.release()


def test_two_titles_are_one_source_in_the_books(room: Room) -> None:
    dx = radiograph()
    with room.association(CALLER) as association:
        association.send_c_store(dx)
    with room.association("MODALITY2") as association:
        association.send_c_store(radiograph(StudyInstanceUID=dx.StudyInstanceUID))
    rows = room.instances()
    assert [row.calling_ae_title for row in rows] == [CALLER, "MODALITY2"]
    assert len({row.source_id for row in rows}) == len({row.study_id for row in rows}) == 1


@pytest.mark.parametrize("strangers", [1, 500])
def test_the_journal_is_bounded(room: Room, strangers: int) -> None:
    clock = [0.0]
    journal = Journal(room.database, "listener", lambda: clock[0])
    for number in range(1000):
        journal.refusal("test.refused", same=(str(number % strangers),), actor="X")
    assert len(room.events("test.refused")) == min(strangers, 100)
    clock[0] = 61.0
    journal.refusal("test.refused", same=("0",), actor="X")
    assert room.events("test.refused")[-1].data["left_out_before"] == 1000 - min(strangers, 100)


def test_the_journal_outlives_its_database(tmp_path: Path) -> None:
    Journal(Database(f"sqlite:///{tmp_path}/never_migrated.db"), "listener").refusal("test.refused", same=(), actor="X")
