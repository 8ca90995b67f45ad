from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from audit.deliveries import claim_deliveries, mark_sent
from audit.inference_jobs import register_model
from audit.model_versions import activate, keep_files
from audit.models import AuditEvent, Job, JobState
from audit.schema import upgrade
from audit.session import Database
from cli.main import app
from core.errors import ConfigurationError
from ml.weights import DEFAULT_WEIGHTS, load_record
from tests.audit.rows import DEVICE_UID, MODEL, analysed, not_analysed, positive, received, report
from tests.audit.test_shadow_predictions import CANDIDATE, CANDIDATE_UID

SHIPPED = load_record(DEFAULT_WEIGHTS)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path / "home"))
    for name in ("PNEUMO_CONFIG", "PNEUMO_DATABASE_URL", "PNEUMO_WORKER__WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    database = Database(f"sqlite:///{tmp_path / 'home' / 'pneumo.db'}")
    upgrade(database)
    yield database
    database.close()


def _recall(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recall", "--model", *arguments], env={"COLUMNS": "200"})


def _done(*arguments: str) -> str:
    result = _recall(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def _answer(*arguments: str) -> dict[str, Any]:
    return json.loads(_done(MODEL.version, *arguments, "--json"))  # type: ignore[no-any-return]


def _analysed_and_sent(database: Database) -> str:
    """Two images of one study, of whose four results one was sent; returns the Study Instance UID."""
    (first,) = analysed(database)
    analysed(database, not_analysed("lateral_view"), [received(study_instance_uid=first.study_instance_uid)])
    report(database)
    with database.write() as session:
        (job,) = claim_deliveries(session, 1, 60)
        mark_sent(session, job, 0x0000)
    return first.study_instance_uid


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return session.query(AuditEvent).where(AuditEvent.kind == kind).all()


def test_alone_it_only_lists(database: Database) -> None:
    study = _analysed_and_sent(database)
    found = _answer()
    assert (found["studies"], found["images"], found["recalled"]) == (1, 2, 0)
    assert found["model"]["device_uid"] == DEVICE_UID
    assert found["outcomes"] == {"positive": 1, "not_analysed": 1}
    assert found["destinations"]["pacs"] == {
        "pending": 3, "under_way": 0, "sent": 1, "confirmed": 0, "stopped": 0, "dead": 0,
    }  # fmt: skip
    assert (found["marked"], found["rejected"], found["reanalysed"]) == (None, None, None)
    first, second = found["results"]
    assert {first["study_instance_uid"], second["study_instance_uid"]} == {study}
    states = {each["state"] for row in (first, second) for object_ in row["objects"] for each in object_["deliveries"]}
    assert states == {"pending", "sent"}
    printed = _done(DEVICE_UID)
    assert printed.count(study) == 2
    assert "pacs 1 pending, pacs 1 sent" in printed
    assert "1 studies, 2 images: 1 not_analysed, 1 positive; 0 recalled" in printed
    assert _answer("--since", "2100-01-01")["results"] == []
    assert len(_answer("--since", "2020-01-01", "--until", "2100-01-01")["results"]) == 2
    assert _events(database, "model.recalled") == []


def test_marked_and_queued_for_the_active_model(database: Database) -> None:
    study = _analysed_and_sent(database)
    done = _answer("--reanalyse")
    assert done["recalled"] == 2
    assert done["marked"] == {"images": 2, "stopped": 3, "under_way": 0}
    assert done["destinations"]["pacs"]["stopped"] == 3
    by = done["reanalysed"]["by"]
    assert by["name"] == f"{SHIPPED.name}@{SHIPPED.version}"
    assert {key: done["reanalysed"][key] for key in ("queued", "waiting", "done", "blocked")} == {
        "queued": 2, "waiting": 0, "done": 0, "blocked": 0,
    }  # fmt: skip
    assert all(row["recalled_at"] for row in done["results"])
    with database.read() as session:
        assert {job.state for job in session.query(Job)} == {JobState.PENDING}
    (event,) = _events(database, "model.recalled")
    assert (event.data["images"], event.data["stopped"], event.data["reanalysed"]) == (2, 3, 2)
    assert event.actor.startswith("cli:")
    assert [each.subject for each in _events(database, "prediction.recalled")] == [study]
    again = _done(MODEL.version, "--reanalyse")
    assert "marked: 0 images now; 0 deliveries stopped" in again
    assert "0 images queued, 2 waiting already" in again


def test_a_destination_that_is_gone_gets_no_note_and_is_named(database: Database) -> None:
    _analysed_and_sent(database)
    done = _answer("--reject", "safety")
    assert done["rejected"] == {
        "reason": "safety", "new": 0, "known": 0, "failed": 0, "destinations": {}, "unreachable": {"pacs": 1},
    }  # fmt: skip
    assert done["marked"]["images"] == 2
    assert "pacs has results of 1 studies and is gone from the configuration" in _done(
        MODEL.version, "--reject", "safety"
    )


def test_what_cannot_be_recalled_is_explained(database: Database) -> None:
    analysed(database, positive())
    with database.write() as session:
        register_model(session, CANDIDATE, CANDIDATE_UID)
    for arguments, said in (
        (("9.9",), "known are: mobilenet_v2@1.0.0"),
        (("2.25.",), "may be any of several"),
        ((MODEL.version, "--since", "2026-03-02", "--until", "2026-03-01"), "lies before"),
    ):
        wrong = _recall(*arguments)
        assert wrong.exit_code == 2, wrong.output
        assert said in " ".join(wrong.stderr.replace("│", " ").split())
    with database.write() as session:
        activate(session, keep_files(session, MODEL, DEVICE_UID, "mobilenet_v2-1.0.0", "test").id, "test")
    for asked in ("--mark", "--reanalyse"):
        refused = _recall(MODEL.version, asked).exception
        assert isinstance(refused, ConfigurationError)
        assert "activate another one first" in str(refused)
    assert _answer()["recalled"] == 0


def test_a_model_that_workers_are_pinned_to_is_not_recalled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicom.identity import device_uid

    pinned = device_uid(SHIPPED.identity)
    with database.write() as session:
        register_model(session, SHIPPED.identity, pinned)
        activate(session, register_model(session, MODEL, DEVICE_UID), "test")
    monkeypatch.setenv("PNEUMO_WORKER__WEIGHTS", str(DEFAULT_WEIGHTS))
    refused = _recall(pinned, "--mark").exception
    assert isinstance(refused, ConfigurationError)
    assert "worker.weights" in str(refused)
