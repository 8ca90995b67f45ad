"""Results as files of a folder on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from core.destinations import FolderDestination
from core.records import DeliveryJob
from core.spool import Spool
from tests.worker.pacs import stored
from worker.answers import Answer, Refused, Sent
from worker.delivery import deliver


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool((tmp_path / "spool").as_uri())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


def send(jobs: list[DeliveryJob], folder: Path, spool: Spool) -> list[Answer]:
    destination = FolderDestination(name="folder", type="folder", path=folder)
    return [answer for _, answer in deliver(jobs, destination, spool, "PNEUMO")]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_lies_by_study_series_and_instance(spool: Spool, folder: Path) -> None:
    job = stored(spool)
    assert send([job], folder, spool) == [Sent(0, confirmed=True)]
    (file,) = files(folder)
    header = dcmread(file)
    assert file == folder / header.StudyInstanceUID / header.SeriesInstanceUID / f"{header.SOPInstanceUID}.dcm"
    assert file.read_bytes() == spool.read(job.spool_name)


def test_the_same_file_counts_as_sent_and_another_is_left_alone(spool: Spool, folder: Path) -> None:
    job = stored(spool)
    assert send([job, job], folder, spool) == [Sent(0, confirmed=True)] * 2
    (file,) = files(folder)
    file.write_bytes(b"another")
    assert send([job, stored(spool)], folder, spool) == [
        Refused("other_content", permanent=True),
        Sent(0, confirmed=True),
    ]
    assert file.read_bytes() == b"another"


def test_a_folder_that_is_gone_or_cannot_be_written_is_tried_again(spool: Spool, folder: Path) -> None:
    assert send([stored(spool)] * 2, folder / "not mounted", spool) == [Refused("no_folder", permanent=False)] * 2
    job = stored(spool, StudyInstanceUID="1.2.3")
    (folder / "1.2.3").write_text("in the way")
    assert send([job], folder, spool) == [Refused("not_writable", permanent=False)]
    assert files(folder) == [folder / "1.2.3"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_no_uid_leads_out_of_the_folder(spool: Spool, folder: Path) -> None:
    bad = [stored(spool, StudyInstanceUID=uid) for uid in ("../../elsewhere", "..", "/elsewhere", "")]
    good = stored(spool)
    assert send([*bad, good], folder, spool) == [Refused("invalid_uid", permanent=True)] * 4 + [Sent(0, confirmed=True)]
    assert len(files(folder)) == 1
