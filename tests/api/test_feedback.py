from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from api.masking import MASKED
from audit.api_keys import create_key
from audit.models import AuditEvent, Study, now
from audit.session import Database
from core.scopes import Scope
from tests.audit.rows import DEVICE_UID, analysed, not_analysed, positive, received

NAME = "Nobody^Nina"


@pytest.fixture
def narrow(api: httpx.Client, database: Database) -> Iterator[httpx.Client]:
    """A caller who reads and gives feedback, and may see no patient."""
    with database.write() as session:
        key = create_key(session, "reading-room", "cli:test", [Scope.AUDIT_READ, Scope.FEEDBACK_WRITE])
    with httpx.Client(base_url=api.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


def _give(client: httpx.Client, prediction: int = 1, **body: Any) -> httpx.Response:
    escaped = json.dumps({"agreement": "agree"} | body)  # httpx's own would not send half a surrogate pair
    path = f"/v1/predictions/{prediction}/feedback"
    return client.post(path, content=escaped, headers={"Content-Type": "application/json"})


def test_feedback_is_taken_and_shown(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database, positive(0.8))
    answer = _give(api, agreement="disagree", true_label="no_pneumonia", comment=f" {NAME} ", reader=" Dr. Reader ")
    assert answer.status_code == 201, answer.text
    given = answer.json()
    assert given.pop("created_at").endswith("Z")
    assert given == {
        "id": 1,
        "prediction_id": 1,
        "sop_instance_uid": image.sop_instance_uid,
        "source": "room-1",
        "model": "mobilenet_v2",
        "model_version": "1.0.0",
        "outcome": "positive",
        "agreement": "disagree",
        "true_label": "no_pneumonia",
        "comment": NAME,
        "reader": "Dr. Reader",
        "principal": "tester",
        "stands": True,
    }
    assert _give(api).json()["reader"] == "tester"
    shown = api.get("/v1/predictions/1/feedback").json()["items"]
    assert [(item["reader"], item["stands"]) for item in shown] == [("tester", True), ("Dr. Reader", True)]
    assert [item["id"] for item in api.get("/v1/feedback", params={"limit": 1}).json()["items"]] == [2]


def test_the_comment_is_for_those_who_may_see_patients(
    api: httpx.Client, narrow: httpx.Client, database: Database
) -> None:
    (image,) = analysed(database, positive(0.8))
    answers = [
        _give(narrow, comment=NAME),
        narrow.get("/v1/predictions/1/feedback"),
        narrow.get("/v1/feedback"),
    ]
    for answer in answers:
        assert answer.is_success
        assert MASKED in answer.text
        assert NAME not in answer.text
    assert _reads(database) == []
    for path in ("/v1/predictions/1/feedback", "/v1/feedback"):
        assert api.get(path).json()["items"][0]["comment"] == NAME
    assert [(event.actor, event.subject, event.data["route"]) for event in _reads(database)] == [
        ("tester", image.sop_instance_uid, "/v1/predictions/{prediction_id}/feedback"),
        ("tester", "", "/v1/feedback"),
    ]
    with database.read() as session:
        assert not any(NAME in str(event.data) for event in session.scalars(select(AuditEvent)))


def _reads(database: Database) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == "api.read").order_by(AuditEvent.id)))


def test_it_takes_the_scope_to_give_it_and_another_to_read_it(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.8))
    with database.write() as session:
        reader = create_key(session, "reader", "cli:test", [Scope.AUDIT_READ, Scope.PHI_READ])
        writer = create_key(session, "writer", "cli:test", [Scope.FEEDBACK_WRITE])
    paths = ("/v1/predictions/1/feedback", "/v1/feedback", "/v1/feedback/figures")
    for key, give, read in ((reader, 403, 200), (writer, 201, 403), ("pneumo_none", 401, 401)):
        headers = {"Authorization": f"Bearer {key}"}
        answer = api.post("/v1/predictions/1/feedback", json={"agreement": "agree"}, headers=headers)
        assert answer.status_code == give
        assert [api.get(path, headers=headers).status_code for path in paths] == [read] * 3


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"agreement": "yes"}, "agreement"),
    ({"comment": "x" * 2001}, "comment"),
    ({"comment": "a\x00b"}, "comment"),
    ({"comment": "\ud800"}, "comment"),
    ({"reader": " "}, "reader"),
    ({"reader": "x" * 65}, "reader"),
    ({"reader": "a\nb"}, "reader"),
    ({"remark": "a field that is not known"}, "remark"),
    ({"true_label": "no_pneumonia"}, "the model said pneumonia"),
)


def test_what_is_not_understood_is_refused_by_name(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.8))
    for body, named in REFUSED:
        answer = _give(api, **body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), body
        assert answer.json()["detail"].startswith(named)
    assert api.get("/v1/predictions/1/feedback").json() == {"items": []}


def test_feedback_is_about_an_answer_that_is_there(api: httpx.Client, database: Database) -> None:
    analysed(database, not_analysed("lateral_view"))
    assert (_give(api).status_code, _give(api).json()["code"]) == (409, "conflict")
    assert _give(api, 7).status_code == api.get("/v1/predictions/7/feedback").status_code == 404


def test_feedback_on_an_erased_study_is_refused(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.8))
    with database.write() as session:
        session.execute(update(Study).values(erased_at=now()))
    answer = _give(api, comment=NAME)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "was erased" in answer.json()["detail"]
    assert api.get("/v1/predictions/1/feedback").json()["items"] == []


def test_pages_stay_right_while_feedback_arrives(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.8))
    for _ in range(5):
        _give(api)
    walked: list[int] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = api.get("/v1/feedback", params=query).json()
        walked += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
        _give(api)
    assert walked == [5, 4, 3, 2, 1]
    assert [item["id"] for item in api.get("/v1/feedback", params={"stands": "true"}).json()["items"]] == [7]
    assert api.get("/v1/feedback", params={"stand": "true"}).status_code == 422


def test_the_figures_say_how_far_they_can_be_trusted(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.8), [received(source=f"room-{place % 2 + 1}") for place in range(4)])
    analysed(database, positive(0.1), [received() for _ in range(4)])
    for prediction, agreement in ((1, "agree"), (2, "agree"), (3, "disagree"), (5, "agree"), (6, "disagree")):
        _give(api, prediction, agreement=agreement)
    report = api.get("/v1/feedback/figures").json()
    assert "No measurement of accuracy" in report["caution"]
    (model,) = report["models"]
    assert (model["device_uid"], model["role"], model["source"]) == (DEVICE_UID, "active", None)
    assert (model["predictions"], model["unsure"], model["disputed"]) == (8, 0, 0)
    assert [(share["count"], share["n"]) for share in model["feedback_share"].values()] == [(5, 8), (3, 4), (2, 4)]
    assert model["confusion"] == {"true_positive": 2, "false_positive": 1, "false_negative": 1, "true_negative": 1}
    assert (model["sensitivity"]["count"], model["sensitivity"]["n"]) == (2, 3)
    assert model["corrected"]["sensitivity"]["value"] == pytest.approx((4 * 2 / 3) / (4 * 2 / 3 + 4 * 1 / 2))
    assert 0 < model["corrected"]["sensitivity"]["low"] < model["corrected"]["sensitivity"]["high"] < 1
    assert [(row["source"], row["predictions"]) for row in report["sources"]] == [("room-1", 6), ("room-2", 2)]
    narrowed = api.get("/v1/feedback/figures", params={"source": "room-2", "model": DEVICE_UID}).json()
    assert narrowed["models"][0]["predictions"] == 2
    assert narrowed["models"][0]["specificity"] is None
    assert api.get("/v1/feedback/figures", params={"model": "another"}).json()["models"] == []
    assert api.get("/v1/feedback/figures", params={"limit": "1"}).status_code == 422
