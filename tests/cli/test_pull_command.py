"""``pneumo pull`` as a person runs it, from DCMTK's and Orthanc's archives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from audit import pulls, schema
from audit.models import Instance, Job, PulledStudy, PullState
from audit.session import Database
from cli import pull_commands
from cli.main import app
from cli.pull import Pace, Puller, Stopped
from cli.pull_intake import open_intake
from cli.pull_pace import Window, pause_before_next
from cli.pull_progress import PullProgress
from core.destinations import DICOMArchive
from core.errors import ConfigurationError
from core.settings import ListenerSettings, Settings, Source
from core.spool import Spool
from tests.pacs_listener.room import running
from tests.services import free_port
from tests.worker.archives import QueryRetrieveSCP, dcmqrscp, orthanc_with_dicomweb
from worker.dicom_archive import MovingArchive

MARCH = ("--since", "2025-03-01", "--until", "2025-03-05")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a migrated database below it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PNEUMO_") and not name.startswith("PNEUMO_TEST")]:
        if name != "PNEUMO_REQUIRE_SERVICES":
            monkeypatch.delenv(name)
    monkeypatch.setattr(pull_commands, "configure_logs", lambda _format: None)  # for the whole process, ours
    database = Database(f"sqlite:///{tmp_path}/pneumo-data/pneumo.db")
    schema.upgrade(database)
    database.close()
    return tmp_path


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[QueryRetrieveSCP]:
    with dcmqrscp(tmp_path, free_port()) as scp:
        yield scp


def configure(home: Path, *archive: str) -> None:
    lines = ("[listener]", "disk_reserve_bytes = 0", "[[archives]]", 'name = "old"', *archive)
    (home / "pneumo.toml").write_text("\n".join(lines))


def configure_get(home: Path, port: int) -> None:
    configure(home, 'ae_title = "QR"', 'host = "127.0.0.1"', f"port = {port}", 'retrieve = "get"')


def pull(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["pull", "--from", "old", *arguments, "--json"])
    assert done.exit_code == code, (done.stderr, done.exception)
    answer = done.stdout.splitlines()[-1]  # after what a listener in this process says
    return {**json.loads(answer), "said": done.stderr}


def rows(home: Path) -> list[Instance]:
    database = Database(f"sqlite:///{home}/pneumo-data/pneumo.db")
    with database.read() as session:
        instances = list(session.query(Instance).order_by(Instance.id))
        assert session.query(Job).count() == len(instances)
        assert all(instance.source.name == "old" for instance in instances)
    database.close()
    return instances


def test_studies_come_once_by_get_and_a_failing_one_does_not_stop_the_rest(home: Path, scp: QueryRetrieveSCP) -> None:
    configure_get(home, scp.port)
    assert pull(*MARCH, "--dry-run")["found"] == 3
    lost = scp.lose("1.2.3.2.1.1")
    first = pull(*MARCH, code=1)
    assert (first["done"], first["failed"], first["images"]) == (2, 1, 3)
    assert first["failures"] == {"images_failed": 1}
    instances = rows(home)
    assert [each.sop_instance_uid for each in instances] == ["1.2.3.1.1.1", "1.2.3.1.1.2", "1.2.3.3.1.1"]
    assert {(each.calling_ae_title, each.called_ae_title, each.modality) for each in instances} == {
        ("QR", "PNEUMO", "DX")
    }
    spool = Spool((home / "pneumo-data/spool").absolute().as_uri())
    assert all(spool.read(each.spool_name)[128:132] == b"DICM" for each in instances)
    assert list((home / "pneumo-data/spool/pulling").iterdir()) == []

    lost.rename(lost.with_suffix(".dcm"))
    retried = pull("--retry-failed")
    assert (retried["done"], retried["failed"], retried["images"]) == (3, 0, 4)
    again = pull(*MARCH)
    assert (again["resumed"], again["done"], again["images"], again["here_already"]) == (False, 3, 0, 3)
    assert len(rows(home)) == 4


def test_by_dicomweb(home: Path) -> None:
    with orthanc_with_dicomweb(home) as url:
        configure(home, 'type = "dicomweb"', f'url = "{url}"')
        assert pull(*MARCH, "--modality", "DX")["images"] == 3
        assert pull(*MARCH)["here_already"] == 2
    assert [each.sop_instance_uid[:7] for each in rows(home)] == ["1.2.3.1", "1.2.3.1", "1.2.3.3", "1.2.3.2"]
    assert {each.calling_ae_title for each in rows(home)} == {"DICOMWEB"}


def test_by_move_through_the_listener(home: Path) -> None:
    sources = (Source(name="old", ae_titles=("QR",)),)
    with running(home / "pneumo-data", sources=sources) as room, dcmqrscp(home, room.port) as scp:
        configure(home, 'ae_title = "QR"', 'host = "127.0.0.1"', f"port = {scp.port}")
        moved = pull(*MARCH)
        assert (moved["done"], moved["images"]) == (3, 4)
        assert "refuses QR, which is in the ae_titles of no [[sources]]" in moved["said"]
        assert len(room.instances()) == 4


def wait_for_images(home: Path, images: int) -> None:
    deadline = time.monotonic() + 30
    while len(rows(home)) < images and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)  # the study's own row follows, and then the rest of a minute


def test_a_pull_that_was_interrupted_goes_on(home: Path, scp: QueryRetrieveSCP) -> None:
    configure_get(home, scp.port)

    def interrupt() -> None:
        wait_for_images(home, 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    interrupted = pull(*MARCH, "--per-minute", "1", code=130)
    thread.join()
    assert (interrupted["done"], interrupted["pending"], interrupted["stopped"]) == (1, 2, "interrupted")
    resumed = pull("--resume")
    assert (resumed["pull"], resumed["resumed"], resumed["done"]) == (interrupted["pull"], True, 3)


def test_a_pull_that_was_killed_goes_on(home: Path, scp: QueryRetrieveSCP) -> None:
    configure_get(home, scp.port)
    command = [sys.executable, "-m", "cli.main", "pull", "--from", "old", *MARCH, "--per-minute", "1"]
    process = subprocess.Popen(command, cwd=home, stderr=subprocess.DEVNULL)
    try:
        wait_for_images(home, 2)
    finally:
        process.kill()
        process.wait()
    assert len(rows(home)) == 2
    resumed = pull(*MARCH)
    assert (resumed["resumed"], resumed["done"], resumed["images"]) == (True, 3, 4)
    assert "going on with pull 1, 2025-03-01 to 2025-03-05" in resumed["said"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's failed connections
def test_an_archive_that_is_down_is_said_so(home: Path) -> None:
    configure_get(home, free_port())
    answer = pull(*MARCH, code=1)
    assert (answer["stopped"], answer["found"]) == ("no_association", 0)
    assert "old cannot be reached" in answer["said"]
    assert "goes on where this one stopped" in answer["said"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's failed connections
def test_an_archive_that_goes_down_leaves_its_studies_to_be_pulled(home: Path) -> None:
    archive = DICOMArchive(name="old", ae_title="QR", host="127.0.0.1", port=free_port(), timeout_seconds=2)
    settings = Settings(home=home / "pneumo-data", listener=ListenerSettings(disk_reserve_bytes=0))
    database = Database(settings.database)
    days = pulls.PullQuery(date(2025, 3, 1), date(2025, 3, 1), ("DX",))
    with database.write() as session:
        opened = pulls.start_pull(session, "old", days, "cli:test")
        pulls.add_day(session, opened.id, days.since, ["1.1", "1.2", "1.3", "1.4"])
    client, progress = MovingArchive(archive, "PNEUMO", "PNEUMO"), PullProgress(Console(file=StringIO()))
    puller = Puller(client, Pace(pause_seconds=0.01), threading.Event(), progress)
    with open_intake(settings, archive, database) as intake, pytest.raises(Stopped, match="no_association"):
        puller.retrieve_studies(database, opened, intake, again=False)
    with database.read() as session:
        studies = list(session.query(PulledStudy).order_by(PulledStudy.id))
    assert [study.attempts for study in studies] == [1, 1, 1, 0]
    assert {study.state for study in studies} == {PullState.PENDING}
    database.close()


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--from", "new", *MARCH), "there is no archive 'new', configured: old"),
        (("--from", "old"), "say which days"),
        (("--from", "old", "--since", "2025-03-02", "--until", "2025-03-01"), "the earlier day first"),
        (("--from", "old", "--resume"), "there is no unfinished pull from old"),
        (("--from", "old", *MARCH, "--window", "22-6"), "such as 22:00-06:00"),
    ],
)
def test_what_is_not_asked_rightly_is_said(home: Path, arguments: tuple[str, ...], advice: str) -> None:
    configure_get(home, 104)
    failure = CliRunner().invoke(app, ["pull", *arguments]).exception
    assert isinstance(failure, ConfigurationError)
    assert advice in str(failure)


@pytest.mark.parametrize(
    ("window", "at", "opens"),
    [
        ("22:00-06:00", "2025-03-01T21:59:59", "2025-03-01T22:00:00"),
        ("22:00-06:00", "2025-03-01T22:00:00", None),
        ("22:00-06:00", "2025-03-01T05:59:59", None),
        ("22:00-06:00", "2025-03-01T06:00:00", "2025-03-01T22:00:00"),
        ("08:30-17:00", "2025-03-01T08:29:00", "2025-03-01T08:30:00"),
        ("08:30-17:00", "2025-03-01T16:59:59", None),
        ("08:30-17:00", "2025-03-01T17:00:00", "2025-03-02T08:30:00"),
    ],
)
def test_a_window_is_open_or_says_when(window: str, at: str, opens: str | None) -> None:
    opening = Window.parse(window).opens_next(datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert opening == (None if opens is None else datetime.fromisoformat(opens).replace(tzinfo=UTC))


@pytest.mark.parametrize("text", ["22:00", "24:00-06:00", "22:00-22:00", "2200-0600", ""])
def test_a_window_is_written_out(text: str) -> None:
    with pytest.raises(ConfigurationError, match="22:00-06:00"):
        Window.parse(text)


def test_studies_are_spread_over_the_minute() -> None:
    assert pause_before_next(None, 100.0, 30) == 0
    assert pause_before_next(100.0, 100.5, 30) == 1.5
    assert pause_before_next(100.0, 103.0, 30) == 0
    assert pause_before_next(100.0, 100.0, None) == 0
