from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from audit.model_reports import report_unavailable
from audit.model_versions import find_version
from audit.models import AuditEvent
from audit.schema import upgrade
from audit.session import Database
from cli.doctor import Check, examine
from cli.main import app
from core.errors import ConfigurationError
from core.settings import load_settings
from ml.weights import DEFAULT_WEIGHTS, load_record
from tests.audit.rows import DEVICE_UID, analysed, not_analysed, positive
from tests.audit.test_shadow_predictions import CANDIDATE_UID, shadow
from tests.models import write_model

SHIPPED = load_record(DEFAULT_WEIGHTS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path / "home"))
    for name in ("PNEUMO_CONFIG", "PNEUMO_DATABASE_URL", "PNEUMO_WORKER__WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{home / 'pneumo.db'}")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("brought"), "candidate", "2.0")


def _models(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "200"})


def _done(*arguments: str) -> str:
    result = _models(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def _listed() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(_done("list", "--json"))["models"]}


def _doctor() -> Check:
    return next(check for check in examine(load_settings()) if check.name == "model")


def test_from_the_first_look_to_another_active_model(database: Database, brought: Path, home: Path) -> None:
    (shipped,) = _listed().values()
    assert (shipped["version"], shipped["state"], shipped["files"]) == (SHIPPED.version, "active", "shipped")
    assert shipped["digest"] == SHIPPED.digest

    added = json.loads(_done("add", str(brought), "--json"))
    assert (added["name"], added["state"], added["files"]) == ("candidate", "idle", "stored")
    assert added["size_bytes"] == brought.stat().st_size
    assert (home / "models" / "candidate-2.0" / "candidate.safetensors").is_file()

    assert "candidate@2.0 is in shadow" in _done("shadow", "candidate@2.0")
    assert _listed()["candidate"]["state"] == "shadow"
    assert "no longer" in _done("shadow", "--off", added["device_uid"][:14])
    assert "next batch" in _done("activate", added["device_uid"][:14])
    states = {name: row["state"] for name, row in _listed().items()}
    assert states == {SHIPPED.name: "idle", "candidate": "active"}
    table = _done("list")
    assert "stored" in table
    assert brought.name not in table
    with database.read() as session:
        changes = session.query(AuditEvent).where(AuditEvent.kind == "model.activated").all()
    assert [event.data["name"] for event in changes] == [SHIPPED.name, "candidate"]
    assert changes[1].actor.startswith("cli:")

    _done("activate", f"{SHIPPED.name}@{SHIPPED.version}")
    assert _listed()[SHIPPED.name]["state"] == "active"


def test_mistakes_are_explained(database: Database, brought: Path, home: Path) -> None:
    _done("add", str(brought))
    for arguments, said in (
        (("activate", "candidate@3"), "known are: candidate@2.0"),
        (("activate", "2.25."), "may be any of several"),
        (("shadow", f"{SHIPPED.name}@{SHIPPED.version}"), "activate another one first"),
        (("compare", "candidate@2.0", "candidate@2.0"), "name two"),
        (("compare", "candidate@2.0", "2.25", "--from", "2026-03-02", "--to", "2026-03-01"), "lies before"),
    ):
        wrong = _models(*arguments)
        assert wrong.exit_code == 2, wrong.output
        assert said in " ".join(wrong.stderr.replace("│", " ").split())
    shutil.rmtree(home / "models")
    missing = _models("activate", "candidate@2.0").exception
    assert isinstance(missing, ConfigurationError)
    assert "is missing" in str(missing)
    assert _listed()["candidate"]["files"] == "missing"


def test_the_doctor_tells_which_model_judges_and_who_lacks_it(
    database: Database, brought: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _doctor() == Check("model", True, _doctor().answer)
    assert "shipped, and active until another one is" in _doctor().answer
    _done("add", str(brought))
    _done("activate", "candidate@2.0")
    _done("shadow", f"{SHIPPED.name}@{SHIPPED.version}")
    well = _doctor()
    assert well.ok
    assert "candidate 2.0" in well.answer
    assert f"in shadow: {SHIPPED.name}@" in well.answer

    with database.write() as session:
        report_unavailable(session, find_version(session, "candidate@2.0"), "gpu-2", "the weights file is missing")
    elsewhere = _doctor()
    assert not elsewhere.ok
    assert "worker gpu-2 goes without candidate@2.0 (active)" in elsewhere.answer

    shutil.rmtree(home / "models")
    assert "cannot be used on this machine" in _doctor().answer

    monkeypatch.setenv("PNEUMO_WORKER__WEIGHTS", str(brought))
    pinned = _doctor()
    assert pinned.ok
    assert "pinned by worker.weights" in pinned.answer
    assert json.loads(_done("list", "--json"))["pinned_to"] == str(brought)
    assert "worker.weights is set" in _models("list").stderr


def test_two_models_are_compared(database: Database) -> None:
    asked = ("compare", DEVICE_UID, CANDIDATE_UID)
    for analysis in (positive(0.9), positive(0.2), positive(0.4), not_analysed("unlike_training")):
        analysed(database, analysis)
    shadow(database, positive(0.8), positive(0.7), positive(0.3), positive(0.6))
    found = json.loads(_done(*asked, "--json"))
    assert (found["images"], found["n"], found["agreement"]) == (4, 3, pytest.approx(2 / 3))
    assert found["kappa"] == pytest.approx(0.4)
    assert found["table"] == {
        "negative": {"negative": 1, "positive": 1},
        "positive": {"negative": 0, "positive": 1},
    }
    assert found["changed"]["negative_to_positive"] == {"count": 1, "share": pytest.approx(1 / 3)}
    assert found["changed"]["positive_to_negative"]["count"] == 0
    assert found["score_shift"]["mean"] == pytest.approx(0.1)
    assert found["most_different"][0]["b"] == {"outcome": "positive", "probability": 0.7}
    (one,) = found["one_answered"]
    assert (found["answered_only_by_a"], found["answered_only_by_b"]) == (0, 1)
    assert (one["a"]["outcome"], one["reasons"]) == ("not_analysed", ["unlike_training"])
    printed = _done(*asked)
    assert "same call: 66.7%, Cohen's kappa 0.400" in printed
    assert "negative to positive: 1 (33.3%); positive to negative: 0 (0.0%)" in printed
    assert one["sop_instance_uid"] in printed
    nothing = _done(*asked, "--to", "2001-01-01")
    assert "No image has an outcome of both" in nothing
    assert json.loads(_done(*asked, "--to", "2001-01-01", "--json"))["to"] == "2001-01-01"
