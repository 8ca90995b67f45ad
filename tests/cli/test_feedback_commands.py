from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from api.feedback_documents import FeedbackReport, ModelFigures
from audit.feedback_figures import in_all_sources, read_feedback_figures
from audit.models import Prediction, now
from audit.schema import upgrade
from audit.session import Database
from cli.feedback_commands import app
from tests.audit.rows import DEVICE_UID, analysed, positive, received
from tests.audit.test_feedback import say
from tests.audit.test_shadow_predictions import shadow


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


def _feedback(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "250"})


def _filled(database: Database) -> list[str]:
    """SOP Instance UIDs: three positive answers, the last of them recalled, then two negative ones."""
    images = analysed(database, positive(0.9), [received(source=f"room-{place}") for place in (1, 1, 2)])
    images += analysed(database, positive(0.1), [received(), received()])
    shadow(database, positive(0.7))
    for prediction, agreement in ((1, "agree"), (2, "disagree"), (3, "agree"), (5, "disagree")):
        say(database, prediction, agreement)
    with database.write() as session:
        session.execute(update(Prediction).where(Prediction.id == 3).values(recalled_at=now()))
    return [image.sop_instance_uid for image in images]


def test_the_figures_are_those_of_the_api(database: Database) -> None:
    _filled(database)
    printed = json.loads(_feedback("figures", "--json").stdout)
    with database.read() as session:
        rows = read_feedback_figures(session)
    expected = FeedbackReport(
        models=[ModelFigures.of_all_sources(*total) for total in in_all_sources(rows)],
        sources=[ModelFigures.of(row) for row in rows],
    )
    assert printed == expected.model_dump(mode="json")
    assert printed["models"][0]["confusion"] == {
        "true_positive": 1, "false_positive": 1, "false_negative": 1, "true_negative": 0,
    }  # fmt: skip


def test_people_get_a_table_and_the_caution(database: Database) -> None:
    assert "No model has judged" in _feedback("figures").stdout
    _filled(database)
    printed = _feedback("figures", "--source", "room-1").stdout
    (line,) = [line for line in printed.splitlines() if "room-1" in line]
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells[:6] == ["mobilenet_v2 1.0.0", "room-1", "4", "3", "100.0%", "50.0%"]
    assert cells[6:12] == ["1", "1", "1", "0", "0", "0"]
    assert cells[12].startswith("50.0% (")
    assert "No measurement of accuracy" in printed
    assert "2.0.0" in _feedback("figures", "--shadow").stdout
    assert "No model" in _feedback("figures", "--from", "2000-01-01", "--to", "2000-01-02").stdout
    assert _feedback("figures", "--from", "2000-01-02", "--to", "2000-01-01").exit_code == 2


def test_what_readers_know_comes_a_line_for_each_standing_answer(database: Database) -> None:
    images = _filled(database)
    rows = [json.loads(line) for line in _feedback("export").stdout.splitlines()]
    assert [(row["sop_instance_uid"], row["truth"], row["outcome"], row["role"]) for row in rows] == [
        (images[0], "pneumonia", "positive", "active"),
        (images[1], "no_pneumonia", "positive", "active"),
        (images[4], "pneumonia", "negative", "active"),
        (images[4], "pneumonia", "positive", "shadow"),
    ]
    assert (rows[0]["probability"], rows[0]["readers"], rows[0]["device_uid"]) == (0.9, 1, DEVICE_UID)
    assert rows[0]["received_at"].endswith("+00:00")
    assert len(_feedback("export", "--model", DEVICE_UID).stdout.splitlines()) == 3
    assert _feedback("export", "--source", "room-2").stdout == ""
