"""`pneumo audit`: a person asks whether anybody touched the trail, exports it, and has patients erased."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from sqlalchemy import select, text, update
from typer.testing import CliRunner, Result

from audit.anchors import anchor_of_now, append_anchor
from audit.events import record_event
from audit.models import AuditEvent, Delivery, Instance, Picture, ResultObject, Study
from audit.schema import upgrade
from audit.session import Database
from cli.main import app
from core.records import DeliveryState
from core.spool import Spool
from pacs_listener.incoming import digest
from tests.audit.rows import received
from tests.audit.tampering import tamper
from tests.audit.test_retention import deliver, judged
from tests.pacs_listener.room import radiograph


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path / "home"))
    for name in ("PNEUMO_CONFIG", "PNEUMO_DATABASE_URL", "PNEUMO_SPOOL_URL", "PNEUMO_AUDIT__ANCHOR_FILE"):
        monkeypatch.delenv(name, raising=False)
    database = Database(f"sqlite:///{tmp_path / 'home' / 'pneumo.db'}")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool((tmp_path / "home" / "spool").as_uri())


def _audit(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "200"})


def _answer(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = _audit(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def _some_events(database: Database) -> None:
    for number in range(5):
        with database.write() as session:
            record_event(session, "test.happened", subject=f"1.2.{number}", share=number / 7, words="Mü€ \u2028 \n")


def test_a_whole_trail_and_a_broken_one(database: Database) -> None:
    _some_events(database)
    whole = _answer("verify")
    head = whole.pop("head")
    assert whole == {
        "whole": True, "events": 5, "first_bad": None,
        "anchors": {"file": None, "found": 0, "held": 0, "unreadable": 0},
        "books": {
            "images": 0, "predictions": 0, "older_predictions": 0, "pictures": 0, "withdrawals": 0, "destinations": 0,
            "deliveries": 0, "feedback": 0, "erasures": 0, "models": 0, "keys": 0,
        }, "files": None,
    }  # fmt: skip
    assert (head["event_id"], head["events"]) == (5, 5)
    printed = _audit("verify")
    assert printed.exit_code == 0
    assert "whole: 6 events" in printed.stdout  # the verdict is an event itself
    tamper(database, "UPDATE audit_events SET actor = 'nobody' WHERE id = 3")
    broken = _answer("verify", code=1)
    assert (broken["whole"], broken["first_bad"]["id"]) == (False, 3)
    assert "BROKEN: event 3 was changed" in _audit("verify").stdout
    with database.read() as session:
        verdicts = session.scalars(select(AuditEvent).where(AuditEvent.kind.like("chain.%"))).all()
    assert [event.kind for event in verdicts] == ["chain.verified"] * 2 + ["chain.broken"] * 2
    assert all(event.actor.startswith("cli:") for event in verdicts)


def test_the_anchor_file_shows_what_was_cut_off(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _some_events(database)
    path = tmp_path / "anchors"
    with database.read() as session:
        append_anchor(path, anchor_of_now(session))
        fourth = session.get_one(AuditEvent, 4).hash
    tamper(
        database, "DELETE FROM audit_events WHERE id > 4",
        "UPDATE chain_head SET event_id = 4, events = 4, hash = :hash", hash=fourth,
    )  # fmt: skip
    assert _answer("verify")["whole"]
    found = _answer("verify", "--anchors", str(path), code=1)
    assert found["first_bad"]["id"] == 5
    assert found["anchors"] == {"file": str(path), "found": 1, "held": 1, "unreadable": 0}
    monkeypatch.setenv("PNEUMO_AUDIT__ANCHOR_FILE", str(path))
    assert "the anchor of" in _audit("verify").stdout


def test_an_auditor_checks_the_export_without_us(database: Database, tmp_path: Path) -> None:
    """The script of docs/integrity.md."""
    _some_events(database)
    out = tmp_path / "events.ndjson"
    assert _audit("export", "--out", str(out)).exit_code == 0
    assert out.read_bytes() == _audit("export").stdout_bytes
    assert _audit("export", "--out", str(out)).exit_code == 2

    script = _script()
    good: dict[str, Any] = {"lines": out.read_bytes().splitlines()}
    exec(script, good)  # noqa: S102 - ours, from the documentation
    head = _answer("verify")["head"]
    assert (good["count"], good["previous"]) == (5, head["hash"])

    lines = out.read_bytes().splitlines()
    forged = lines[2].replace(b"1.2.2", b"1.2.9")
    for wrong in ([*lines[:2], forged, *lines[3:]], lines[1:], [*lines[:2], *lines[3:]]):
        with pytest.raises(SystemExit):
            exec(script, {"lines": wrong})  # noqa: S102 - likewise


def _script() -> str:
    text_of_page = Path(__file__).parents[2].joinpath("docs", "integrity.md").read_text()
    script = text_of_page.split("```python\n", 1)[1].split("```", 1)[0]
    imported = {line.split()[1] for line in script.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"hashlib", "json", "sys", "rfc8785"}, "nothing of ours"
    assert rfc8785.__name__ in script
    return script.replace("lines = sys.stdin.buffer", "")


def _dicom(spool: Spool) -> tuple[str, str]:
    """A received file: its name and the digest of its data set."""
    dataset = radiograph()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    name = spool.write(buffer.getvalue(), "received")
    assert spool.local_root is not None
    return name, digest(spool.local_root / name)[0]


@pytest.fixture
def done(database: Database, spool: Spool) -> Database:
    """Two studies of two patients, delivered, whose files have the digests that the books say."""
    for patient in ("A", "B"):
        judged(database, spool, received(patient_id=patient))
    deliver(database)
    with database.write() as session:
        for image in session.scalars(select(Instance)):
            spool.release(image.spool_name)
            image.spool_name, image.sha256 = _dicom(spool)
        for table, content in ((ResultObject, b"result"), (Picture, b"png")):
            session.execute(update(table).values(sha256=hashlib.sha256(content).hexdigest()))
    return database


def test_files_are_held_against_the_books(done: Database, spool: Spool) -> None:
    """The events tell other digests of the results than the books: that is told first, and is not about files."""
    files = _answer("verify", "--files", code=1)["files"]
    assert files == {"checked": 8, "missing": 0, "changed": 0, "first_bad": None}
    with done.read() as session:
        image, picture = (
            session.scalars(select(Instance.spool_name)).first(),
            session.scalar(select(Picture.spool_name)),
        )
    assert image is not None
    assert picture is not None
    assert spool.local_root is not None
    path = spool.local_root / image
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    spool.release(picture)
    files = _answer("verify", "--files", code=1)["files"]
    assert (files["missing"], files["changed"]) == (1, 1)
    assert files["first_bad"].startswith("image 1.2")
    path.write_bytes(b"")
    assert _answer("verify", "--files", code=1)["files"]["changed"] == 1


def _patients(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Study.patient_id).order_by(Study.id)))


def test_old_studies_are_purged(done: Database, spool: Spool) -> None:
    with done.write() as session:
        session.execute(update(Study).where(Study.id == 1).values(last_received_at=datetime(2020, 5, 1, tzinfo=UTC)))
    assert _answer("purge", "--before", "2020-05-01")["studies"] == 0
    asked = ("purge", "--before", "2020-05-02")
    expected = {
        "dry_run": True, "studies": 1, "images": 1, "results": 2, "pictures": 1, "kept_aside": 0, "comments": 1,
        "unfinished": 0, "files_left": 0,
    }  # fmt: skip
    assert _answer(*asked, "--dry-run") == expected
    in_words = "would erase: 1 study with 1 image, 2 results, 1 picture, 0 files kept aside, 1 comment\n"
    assert in_words in _audit(*asked, "--dry-run").stdout
    assert _patients(done) == ["A", "B"]
    assert _answer(*asked) == {**expected, "dry_run": False}
    assert _patients(done) == ["", "B"]
    assert spool.local_root is not None
    assert sum(path.is_file() for path in spool.local_root.rglob("*")) == 4
    assert "erased: 0 studies" in _audit(*asked).stdout
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert _audit("purge", "--before", f"{tomorrow:%Y-%m-%d}").exit_code == 2


def test_a_patient_is_erased_on_request(done: Database, spool: Spool) -> None:
    assert spool.local_root is not None
    with done.write() as session:
        session.execute(update(Delivery).where(Delivery.id == 3).values(state=DeliveryState.PENDING))
    left = _audit("erase", "--patient-id", "B")
    assert left.exit_code == 1
    assert "left alone: 1 study with" in left.stdout
    assert _answer("erase", "--patient-id", "A", "--issuer", "ELSEWHERE")["studies"] == 0
    assert _answer("erase", "--patient-id", "A")["studies"] == 1
    assert _patients(done) == ["", "B"]
    with done.write() as session:
        session.execute(text("UPDATE instances SET issuer_of_patient_id = 'ELSEWHERE' WHERE patient_id = 'B'"))
    refused = _audit("erase", "--patient-id", "B")
    assert refused.exit_code == 2
    assert "give --issuer: 'ELSEWHERE', 'HOSPITAL'" in " ".join(refused.stderr.replace("│", " ").split())
    with done.read() as session:
        data = session.scalars(select(AuditEvent.data).where(AuditEvent.kind == "study.erased")).all()
    assert [each["why"] for each in data] == ["request"]
