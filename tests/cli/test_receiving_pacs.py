from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import (
    ComprehensiveSRStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    Verification,
)

from cli.receiving_pacs import ReceivingPACS
from core.records import ResultKind
from tests.services import require_program

SOURCE, STUDY = "2.25.1001", "2.25.1002"


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ReceivingPACS]:
    pacs = ReceivingPACS(tmp_path / "pacs")
    pacs.start()
    yield pacs
    pacs.stop()


def _dataset(sop_class_uid: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.Modality = "DEMO-001", "Demo^Ada", "OT"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _reference(sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = DigitalXRayImageStorageForPresentation
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _secondary_capture() -> Dataset:
    dataset = _dataset(SecondaryCaptureImageStorage)
    dataset.SourceImageSequence = [_reference(SOURCE)]
    return dataset


def _report() -> Dataset:
    dataset = _dataset(ComprehensiveSRStorage)
    series, study = Dataset(), Dataset()
    series.ReferencedSOPSequence, series.SeriesInstanceUID = [_reference(SOURCE), _reference("2.25.1003")], "2.25.1004"
    study.ReferencedSeriesSequence, study.StudyInstanceUID = [series], STUDY
    dataset.CurrentRequestedProcedureEvidenceSequence = [study]
    return dataset


def _send(pacs: ReceivingPACS, *datasets: Dataset) -> list[int]:
    ae = AE("SENDER")
    for sop_class_uid in {dataset.SOPClassUID for dataset in datasets}:
        ae.add_requested_context(sop_class_uid, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", pacs.port, ae_title="ANY-NAME")
    assert association.is_established
    statuses = [association.send_c_store(dataset).Status for dataset in datasets]
    association.release()
    return statuses


def test_keeps_both_kinds_with_what_they_were_made_from(pacs: ReceivingPACS, tmp_path: Path) -> None:
    capture, report = _secondary_capture(), _report()
    before = datetime.now(UTC)
    assert _send(pacs, capture, report) == [0x0000, 0x0000]

    first, second = pacs.received()
    assert (first.kind, second.kind) == (ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT)
    assert (first.sop_class_uid, second.sop_class_uid) == (SecondaryCaptureImageStorage, ComprehensiveSRStorage)
    assert (first.sop_instance_uid, second.sop_instance_uid) == (capture.SOPInstanceUID, report.SOPInstanceUID)
    assert first.study_instance_uid == second.study_instance_uid == STUDY
    assert first.source_sop_instance_uids == (SOURCE,)
    assert second.source_sop_instance_uids == (SOURCE, "2.25.1003")
    assert before <= first.received_at <= second.received_at <= datetime.now(UTC)
    assert dcmread(first.path) == capture
    assert dcmread(second.path) == report
    assert sorted((tmp_path / "pacs").iterdir()) == sorted([first.path, second.path])


def test_file_names_tell_nothing(pacs: ReceivingPACS) -> None:
    capture = _secondary_capture()
    _send(pacs, capture)
    name = pacs.received()[0].path.name
    assert not any(part in name for part in (capture.SOPInstanceUID, STUDY, "DEMO", "Ada"))


def test_a_repeat_is_counted_and_changes_nothing(pacs: ReceivingPACS, tmp_path: Path) -> None:
    report = _report()
    _send(pacs, report)
    once = pacs.received()[0]
    changed = _report()
    changed.SOPInstanceUID = changed.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    changed.PatientName = "Somebody^Else"
    assert _send(pacs, report, changed) == [0x0000, 0x0000]

    (kept,) = pacs.received()
    assert kept.times_received == 3
    assert (kept.path, kept.received_at) == (once.path, once.received_at)
    assert dcmread(kept.path) == report
    assert len(list((tmp_path / "pacs").iterdir())) == 1


def test_callers_at_the_same_time(pacs: ReceivingPACS, tmp_path: Path) -> None:
    shared = _report()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: _send(pacs, shared, _secondary_capture()), range(6)))
    assert answers == [[0, 0]] * 6
    received = pacs.received()
    assert sorted(one.times_received for one in received) == [1] * 6 + [6]
    assert {one.path for one in received} == set((tmp_path / "pacs").iterdir())


def test_without_a_source_there_is_no_reference(pacs: ReceivingPACS) -> None:
    _send(pacs, _dataset(SecondaryCaptureImageStorage))
    assert pacs.received()[0].source_sop_instance_uids == ()


def test_what_cannot_be_understood_is_refused_and_nothing_is_kept(pacs: ReceivingPACS, tmp_path: Path) -> None:
    nameless = _secondary_capture()
    del nameless.StudyInstanceUID
    assert _send(pacs, nameless) == [0xC000]
    assert pacs.received() == []
    assert list((tmp_path / "pacs").iterdir()) == []


def test_answers_echo_and_refuses_other_classes(pacs: ReceivingPACS) -> None:
    ae = AE()
    ae.add_requested_context(Verification)
    ae.add_requested_context(CTImageStorage)
    association = ae.associate("127.0.0.1", pacs.port)
    assert association.send_c_echo().Status == 0x0000
    assert [context.abstract_syntax for context in association.rejected_contexts] == [CTImageStorage]
    association.release()


def test_stops_and_starts_again_with_what_it_had(tmp_path: Path) -> None:
    pacs = ReceivingPACS(tmp_path / "pacs")
    pacs.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = pacs.port
    pacs.start()
    port, report = pacs.port, _report()
    _send(pacs, report)
    pacs.stop()
    pacs.stop()
    pacs.start(port)
    _send(pacs, report)
    pacs.stop()
    assert [one.times_received for one in pacs.received()] == [2]


def test_dcmtk_sends_to_it(pacs: ReceivingPACS, tmp_path: Path) -> None:
    program = require_program("storescu")
    report = _report()
    file = tmp_path / "report.dcm"
    report.save_as(file, enforce_file_format=True)
    subprocess.run([program, "-aec", "WHOEVER", "127.0.0.1", str(pacs.port), str(file)], check=True, timeout=30)
    assert [one.sop_instance_uid for one in pacs.received()] == [report.SOPInstanceUID]
