from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from audit.schema import upgrade
from audit.session import Database
from cli import drift_commands
from tests.audit.history import refused, scores, seed

app = typer.Typer()
app.command()(drift_commands.drift)
THIS_WEEK = datetime.now(UTC).date() - timedelta(days=datetime.now(UTC).weekday())


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PNEUMO_CONFIG", raising=False)
    monkeypatch.delenv("PNEUMO_DATABASE_URL", raising=False)
    database = Database(f"sqlite:///{tmp_path / 'home' / 'pneumo.db'}")
    upgrade(database)
    yield database
    database.close()


def _drift(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def _sent(database: Database, source: str, *, shift: float) -> None:
    for back in (6, 5, 4, 3):
        seed(database, source, THIS_WEEK - timedelta(weeks=back), scores(30, seed=back))
    last_week = THIS_WEEK - timedelta(days=3)
    seed(database, source, last_week, [*scores(60, seed=1, shift=shift), *refused(2, "lateral_view")])


def test_the_drifting_source_is_named_and_the_steady_one_is_not(database: Database) -> None:
    _sent(database, "room-1", shift=0.0)
    _sent(database, "room-2", shift=0.12)
    printed = _drift()
    assert printed.exit_code == 0, printed.output
    assert "room-1: steady, PSI" in printed.stdout
    assert "drift: room-2: the scores have moved" in printed.stdout
    assert "lateral_view 3%" in printed.stdout

    report = json.loads(_drift("--json").stdout)
    steady, drifting = report["sources"]
    assert (steady["status"], drifting["status"]) == ("steady", "drift")
    assert all("room-2" in line for line in report["warnings"])
    assert drifting["psi"] > max(report["method"]["psi_drift"], drifting["psi_by_chance"])
    assert steady["reference"]["from"] == (THIS_WEEK - timedelta(weeks=6)).isoformat()
    assert steady["window"]["to"] == (THIS_WEEK - timedelta(days=1)).isoformat()
    assert steady["window"]["images"] == 62
    assert steady["window"]["not_analysed"]["share"] == pytest.approx(2 / 62)
    assert steady["window"]["reasons"] == {"lateral_view": 2}
    assert set(steady["window"]["quantiles"]) == {"5", "25", "50", "75", "95"}
    assert len(steady["periods"]) == 5


def test_days_source_and_length_of_period_can_be_chosen(database: Database) -> None:
    _sent(database, "room-1", shift=0.0)
    _sent(database, "room-2", shift=0.12)
    first, last = THIS_WEEK - timedelta(weeks=6), THIS_WEEK - timedelta(weeks=3)
    days = ("--reference", f"{first}..{last - timedelta(days=1)}", "--window", f"{last}..{THIS_WEEK}")
    report = json.loads(_drift(*days, "--by", "day", "--source", "room-2", "--model", "2.25", "--json").stdout)
    (source,) = report["sources"]
    assert (source["source"], source["reference"]["images"], source["window"]["images"]) == ("room-2", 90, 92)
    assert {period["from"] == period["to"] for period in source["periods"]} == {True}


def test_before_the_first_image_there_is_nothing_to_tell(database: Database) -> None:
    assert _drift().stdout == "No model has judged an image yet.\n"
    report = json.loads(_drift("--json").stdout)
    assert (report["model"], report["sources"], report["warnings"]) == (None, [], [])


def test_days_that_are_none_are_explained(database: Database) -> None:
    for words in ("last week", "2026-02-01..2026-01-01", "2026-01-01"):
        wrong = _drift("--window", words)
        assert wrong.exit_code == 2
        assert "2026-01-05..2026-02-01" in wrong.stderr


def test_an_unknown_source_is_explained(database: Database) -> None:
    _sent(database, "room-1", shift=0.0)
    wrong = _drift("--source", "room-9")
    assert wrong.exit_code == 2
    assert "room-1" in wrong.stderr
