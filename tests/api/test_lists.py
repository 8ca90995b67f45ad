"""Studies, instances, deliveries, dead letters, sources, models, patients: what each list answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from audit.alerts import AlertCode, Condition, settle_alerts
from audit.api_keys import create_key
from audit.confirmations import claim_questions, confirm
from audit.deliveries import claim_deliveries, mark_dead, mark_sent
from audit.events import record_event
from audit.inference_jobs import claim_inference
from audit.models import (
    AuditEvent,
    Delivery,
    Feedback,
    Instance,
    Picture,
    PictureKind,
    Prediction,
    ResultObject,
    Upload,
    now,
)
from audit.session import Database
from core.records import Analysis, DeliveryState, Finding, Outcome, ResultKind
from core.scopes import Scope
from tests.api.conftest import StartAPI
from tests.audit.rows import DEVICE_UID, analysed, book, not_analysed, positive, received, report

_FAILED = Analysis(Outcome.FAILED, reasons=(Finding("pixel_data_unreadable", "The pixels cannot be decoded."),))


def _items(api: httpx.Client, path: str, **query: object) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/{path}", params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


def _studies(api: httpx.Client, **query: object) -> list[str]:
    return [item["patient_id"] for item in _items(api, "studies", **query)]


def _settle(database: Database, patient_id: str, state: str, destination: str = "pacs") -> None:
    """Bring the deliveries about a patient's images into a state, as workers do."""
    with database.write() as session:
        theirs = (
            select(Delivery.id)
            .join(Delivery.result_object)
            .join(ResultObject.prediction)
            .join(Prediction.instance)
            .where(Instance.patient_id == patient_id, Delivery.destination == destination)
        )
        ids = set(session.scalars(theirs))
        for job in claim_deliveries(session, 100, 60):
            if job.id not in ids:
                continue
            if state == "dead":
                mark_dead(session, job, "sop_class_not_supported", 0x0122)
            else:
                mark_sent(session, job, 0, confirmed=state == "confirmed")
        for row in session.scalars(select(Delivery).where(Delivery.state == DeliveryState.PENDING)):
            row.lease_until = row.token = None


def test_which_studies_have_a_prediction_and_nothing_confirmed_in_the_pacs(
    api: httpx.Client, database: Database
) -> None:
    for patient in ("CONFIRMED", "SENT", "DEAD", "PENDING"):
        analysed(database, instances=[received(patient_id=patient)], destinations=("pacs",))
    analysed(database, instances=[received(patient_id="NOWHERE")], destinations=())
    book(database, received(patient_id="WAITING"))
    report(database)
    for patient, state in (("CONFIRMED", "confirmed"), ("SENT", "sent"), ("DEAD", "dead")):
        _settle(database, patient, state)
    found = _items(api, "studies", unconfirmed=True, sort="oldest", count=True)
    assert [(item["patient_id"], [place["state"] for place in item["destinations"]]) for item in found] == [
        ("SENT", ["sent"]), ("DEAD", ["dead"]), ("PENDING", ["pending"]),
    ]  # fmt: skip
    assert found[0]["destinations"] == [{"destination": "pacs", "state": "sent", "objects": {"sent": 2}}]
    assert _studies(api, unconfirmed=True, delivery_state="dead") == ["DEAD"]
    assert _studies(api, unconfirmed=True, destination="elsewhere") == []
    assert set(_studies(api, unconfirmed=False)) == {"CONFIRMED", "NOWHERE", "WAITING"}


def test_one_confirmed_object_is_enough_at_each_destination_and_messages_do_not_count(
    api: httpx.Client, database: Database
) -> None:
    analysed(database, instances=[received(patient_id="A")], destinations=("pacs", "archive"))
    with database.write() as session:
        message = ResultObject(
            study_id=1, prediction_id=1, kind=ResultKind.WEBHOOK_EVENT, sop_class_uid="", sop_instance_uid="2.25.7",
            series_instance_uid="", spool_name="results/aa/m.json", sha256="0" * 64,
            deliveries=[Delivery(destination="hook", state=DeliveryState.SENT, due_at=now(), last_status=202)],
        )  # fmt: skip
        session.add(message)
    report(database)
    _settle(database, "A", "confirmed", "pacs")
    assert _studies(api, unconfirmed=True) == ["A"], "the archive has nothing yet"
    assert _studies(api, unconfirmed=True, destination="pacs") == []
    with database.write() as session:
        first = session.scalars(select(Delivery).where(Delivery.destination == "archive")).first()
        assert first is not None
        first.state = DeliveryState.CONFIRMED
    assert _studies(api, unconfirmed=True) == []
    (study,) = _items(api, "studies")
    assert [(place["destination"], place["state"]) for place in study["destinations"]] == [
        ("archive", "partly_confirmed"), ("pacs", "confirmed"),
    ]  # fmt: skip
    (line,) = _items(api, "deliveries", destination="hook")
    assert (line["last_status"], line["kind"], line["sop_class_uid"]) == ("202", "webhook_event", "")


def test_what_was_recalled_needs_no_confirmation(api: httpx.Client, database: Database) -> None:
    analysed(database)
    report(database)
    assert len(_studies(api, unconfirmed=True)) == 1
    with database.write() as session:
        session.get_one(Prediction, 1).recalled_at = now()
    assert _studies(api, unconfirmed=True) == []
    (study,) = _items(api, "studies", recalled=True)
    assert (study["recalled"], study["outcomes"], study["destinations"]) == (1, {}, [])


def test_studies_and_images_without_an_outcome_are_listed_as_waiting(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database, positive(0.7), [received(patient_id="DONE")])
    late = book(database, received(patient_id="DONE", study_instance_uid=image.study_instance_uid))
    new = book(database, received(patient_id="NEW"))
    with database.write() as session:
        claim_inference(session, 1, 60)
    done, waiting = _items(api, "studies", sort="oldest")
    assert (done["images"], done["unfinished"], done["outcomes"], done["highest_probability"]) == (
        2, 1, {"positive": 1}, 0.7,
    )  # fmt: skip
    assert (waiting["patient_id"], waiting["images"], waiting["unfinished"], waiting["outcomes"]) == ("NEW", 1, 1, {})
    assert len(_studies(api, waiting=True)) == 2
    assert _studies(api, waiting=False) == []
    found = {item["sop_instance_uid"]: item for item in _items(api, "instances")}
    assert [found[each.sop_instance_uid]["state"] for each in (image, late, new)] == ["finished", "in_work", "waiting"]
    assert [found[each.sop_instance_uid]["outcome"] for each in (image, late, new)] == ["positive", None, None]
    assert {item["sop_instance_uid"] for item in _items(api, "instances", waiting=True)} == {
        late.sop_instance_uid, new.sop_instance_uid,
    }  # fmt: skip
    assert [item["outcome"] for item in _items(api, "instances", outcome="positive")] == ["positive"]


def test_any_uid_finds_what_it_belongs_to(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database)
    (other,) = analysed(database, not_analysed("lateral_view"), [received(patient_id="OTHER")])
    with database.write() as session:
        summary = ResultObject(
            study_id=1, kind=ResultKind.STUDY_SUMMARY, sop_class_uid="1.2.3", sop_instance_uid="2.25.99",
            series_instance_uid="2.25.98", spool_name="results/aa/s.dcm", sha256="0" * 64,
        )  # fmt: skip
        session.add(summary)
        session.add(
            Upload(
                instance_id=2,
                content_sha256="0" * 64,
                principal="kiosk",
                columns=10,
                rows=10,
                original_sop_instance_uid="1.9.9",
                original_study_instance_uid="1.9",
            )
        )

    def found(uid: str) -> list[int]:
        return [item["id"] for item in _items(api, "predictions", sop_instance_uid=uid)]

    assert found(image.sop_instance_uid) == found(f"{image.sop_instance_uid}.1") == found("2.25.99") == [1]
    assert found("1.9.9") == found(other.sop_instance_uid) == [2]
    assert found("1.2.3.4") == []
    assert [item["id"] for item in _items(api, "predictions", series_instance_uid=other.series_instance_uid)] == [2]
    (uploaded,) = _items(api, "instances", uploaded=True)
    assert (uploaded["uploaded_by"], uploaded["original_sop_instance_uid"]) == ("kiosk", "1.9.9")
    assert [item["id"] for item in _items(api, "predictions", uploaded=False)] == [1]
    study = api.get(f"/v1/studies/{image.study_instance_uid}").json()
    assert [result["kind"] for result in study["results"]] == ["study_summary"]


def test_filters_on_what_became_of_a_prediction(api: httpx.Client, database: Database) -> None:
    for patient, probability in (("A", 0.9), ("B", 0.6), ("C", 0.1)):
        analysed(database, positive(probability), [received(patient_id=patient)], destinations=("pacs",))
    analysed(database, not_analysed("lateral_view"), [received(patient_id="D")], destinations=())
    report(database)
    _settle(database, "B", "dead")
    with database.write() as session:
        for prediction_id, reader, agreement in ((1, "x", "agree"), (1, "y", "unsure"), (2, "x", "agree")):
            session.add(Feedback(prediction_id=prediction_id, reader=reader, principal="p", agreement=agreement))
        session.flush()
        session.add(Feedback(prediction_id=2, reader="x", principal="p", agreement="disagree"))
        session.add(Picture(prediction_id=1, kind=PictureKind.OVERLAY, spool_name="pictures/aa/1.png", sha256="0" * 64))
        session.get_one(Prediction, 3).recalled_at = now()

    def patients(**query: object) -> str:
        return "".join(item["patient_id"] for item in _items(api, "predictions", **({"sort": "oldest"} | query)))

    assert patients() == "ABCD"
    assert patients(sort="probability_high") == "ABC"
    assert patients(sort="probability_low") == "CBA"
    assert patients(probability_from=0.6) == "AB"
    assert patients(probability_from=0.1, probability_before=0.6) == "C"
    assert patients(delivery_state="dead") == "B"
    assert patients(delivery_state="pending", destination="pacs") == "AC"
    assert patients(delivery_state="none") == "D"
    assert patients(destination="archive") == ""
    assert patients(feedback="given") == "AB"
    assert patients(feedback="none") == "CD"
    assert patients(feedback="agree") == "A", "B's reader thought better of it"
    assert patients(feedback="disagree") == "B"
    assert patients(recalled=True) == "C"
    assert patients(label="pneumonia", model_version="1.0.0") == "ABCD"
    assert patients(model_version="9") == ""
    assert patients(accession_number="ACCESSION-1", issuer_of_patient_id="HOSPITAL") == "ABCD"
    first, second = (item for item in _items(api, "predictions", sort="oldest", limit=2))
    assert (first["feedback"], first["pictures"]) == ({"agree": 1, "unsure": 1}, ["overlay"])
    assert second["feedback"] == {"disagree": 1}
    detail = api.get("/v1/predictions/2").json()
    assert [(said["agreement"], said["stands"]) for said in detail["feedback"]] == [
        ("agree", False),
        ("disagree", True),
    ]
    assert detail["job"]["state"] == "finished"
    assert _studies(api, feedback="agree") == ["A"]
    assert [item["patient_id"] for item in _items(api, "instances", delivery_state="dead")] == ["B"]


def test_the_total_is_counted_with_the_same_conditions(api: httpx.Client, database: Database) -> None:
    analysed(database, instances=[received() for _ in range(3)])
    analysed(database, not_analysed("lateral_view"))
    for path, query, total in (
        ("predictions", {"outcome": "positive"}, 3),
        ("predictions", {"sort": "probability_low"}, 3),
        ("studies", {"outcome": "not_analysed"}, 1),
        ("instances", {}, 4),
        ("deliveries", {"kind": "report"}, 4),
        ("events", {"kind": "instance."}, 4),
        ("events", {"kind": "prediction.positive"}, 3),
        ("dead-letters", {}, 0),
    ):
        page = api.get(f"/v1/{path}", params={**query, "limit": 1, "count": "true"}).json()  # type: ignore[dict-item]
        assert page["total"] == total, path
        assert len(page["items"]) == min(1, total)
    assert api.get("/v1/predictions").json()["total"] is None


@pytest.mark.parametrize("path", ["predictions", "studies", "instances", "deliveries", "events", "dead-letters"])
@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_every_list_is_walked_whole(api: httpx.Client, database: Database, path: str, sort: str) -> None:
    analysed(database, _FAILED, [received() for _ in range(5)])
    whole = _items(api, path, sort=sort)
    walked: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 2, "sort": sort}
    while True:
        page = api.get(f"/v1/{path}", params=query).json()
        walked += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert walked == whole
    assert len(walked) >= 5


def test_a_cursor_goes_on_with_its_own_question_alone(api: httpx.Client, database: Database) -> None:
    analysed(database, instances=[received() for _ in range(3)])
    cursor = api.get("/v1/predictions", params={"limit": 1, "outcome": "positive"}).json()["next"]
    good = api.get("/v1/predictions", params={"limit": 2, "outcome": "positive", "cursor": cursor})
    assert len(good.json()["items"]) == 2
    for other in ({}, {"outcome": "negative"}, {"outcome": "positive", "sort": "oldest"}, {"patient_id": "A"}):
        answer = api.get("/v1/predictions", params={**other, "cursor": cursor})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("cursor: the cursor belongs to another list, sort or filter")


def test_a_cursor_goes_on_with_its_own_list_alone(api: httpx.Client, database: Database) -> None:
    analysed(database, _FAILED, [received(), received()])
    with database.write() as session:
        settle_alerts(session, [Condition(code, "", "It is so.") for code in (AlertCode.DRIFT, AlertCode.DISK_LOW)])
        for reader in ("x", "y"):
            session.add(Feedback(prediction_id=1, reader=reader, principal="p", agreement="agree"))
    lists = {
        path: {"limit": 1} | more
        for path, more in {
            "predictions": {}, "studies": {}, "instances": {}, "deliveries": {}, "events": {}, "dead-letters": {},
            "search": {}, "feedback": {}, "alerts": {"state": "all"},
        }.items()
    }  # fmt: skip
    cursors = {path: api.get(f"/v1/{path}", params=query).json()["next"] for path, query in lists.items()}
    for path, query in lists.items():
        for origin, cursor in cursors.items():
            answer = api.get(f"/v1/{path}", params=query | {"cursor": cursor})
            assert answer.status_code == (200 if path == origin else 422), (path, origin)
            if path != origin:
                assert answer.json()["detail"].startswith("cursor: "), (path, origin)


@pytest.mark.parametrize("path", ["predictions", "studies/export", "patients", "search", "feedback", "alerts", "drift"])
def test_of_a_parameter_given_twice_no_value_is_chosen(api: httpx.Client, database: Database, path: str) -> None:
    analysed(database, instances=[received(patient_id="A"), received(patient_id="B")])
    for name in ("outcome", "patient_id", "limit", "no_such"):
        answer = api.get(f"/v1/{path}", params=[(name, "positive"), (name, "negative")])
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), name
        assert answer.json()["detail"] == f"{name}: given more than once; ask once for each value."
    both = api.get("/v1/predictions", params=[("outcome", "positive"), ("outcome", "positive")])
    assert both.status_code == 422, "the same value as well"


TEXT_FILTERS = {
    "predictions": ("source", "label", "warning", "reason", "model", "model_version", "destination", "patient_id"),
    "predictions/export": ("source", "warning", "accession_number"),
    "studies": ("source", "reason", "destination"),
    "studies/export": ("source", "destination"),
    "instances": ("source", "modality"),
    "deliveries/export": ("destination", "last_error"),
    "events/export": ("kind", "subject", "actor", "request_id"),
    "search": ("q", "source"),
    "feedback": ("reader", "model", "source"),
}


def test_text_in_a_wrong_filter_does_not_stay_in_the_chain(api: httpx.Client, database: Database) -> None:
    for path, names in TEXT_FILTERS.items():
        for name in names:
            assert api.get(f"/v1/{path}", params={name: "SECRETPID0"}).status_code == 200, (path, name)
    known = {
        "outcome": "positive", "study_instance_uid": "1.2.3", "probability_from": "0.5", "recalled": "false",
        "received_from": "2026-03-02", "source": "room-1",
    }  # fmt: skip
    api.get("/v1/predictions", params=known)
    with database.read() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.kind.like("api.%")).order_by(AuditEvent.id)).all()
    assert all("SECRETPID0" not in str((event.subject, event.actor, event.data)) for event in events)
    recorded = [(event.data["route"], name) for event in events[:-1] for name in event.data["filters"]]
    assert set(recorded) == {(f"/v1/{path}", name) for path, names in TEXT_FILTERS.items() for name in names}
    assert {value for event in events[:-1] for value in event.data["filters"].values()} == {"(given)"}
    assert events[-1].data["filters"] == {
        "outcome": "positive", "study_instance_uid": "1.2.3", "probability_from": 0.5, "recalled": False,
        "received_from": "2026-03-02T00:00:00Z", "source": "(given)",
    }  # fmt: skip


def test_dead_letters_are_deliveries_and_analyses(api: httpx.Client, database: Database) -> None:
    (failed,) = analysed(database, _FAILED, [received(patient_id="F")], destinations=())
    analysed(database, instances=[received(patient_id="D")])
    report(database)
    with database.write() as session:
        first, second = claim_deliveries(session, 10, 60)
        mark_dead(session, first, "sop_class_not_supported", 0x0122)
        mark_dead(session, second, "recalled", None)  # stopped on purpose
    delivery, job = _items(api, "dead-letters")
    assert (delivery["kind"], delivery["error"], delivery["destination"]) == (
        "delivery", "sop_class_not_supported", "pacs",
    )  # fmt: skip
    assert (job["kind"], job["error"], job["sop_instance_uid"], job["attempts"]) == (
        "job", "pixel_data_unreadable", failed.sop_instance_uid, 1,
    )  # fmt: skip
    assert [item["kind"] for item in _items(api, "dead-letters", kind="job")] == ["job"]


def test_sources_and_who_was_turned_away(start_api: StartAPI, database: Database) -> None:
    with database.write() as session:
        key = create_key(session, "engineer", "cli:test", [Scope.AUDIT_READ])
    analysed(database, instances=[received() for _ in range(3)])
    analysed(database, not_analysed("lateral_view"))
    for actor, address in (("XRAY1", "10.0.0.9"), ("STRANGER", "10.0.0.8"), ("STRANGER", "10.0.0.8")):
        with database.write() as session:
            record_event(
                session, "association.refused", actor=actor, address=address, called_ae_title="PNEUMO",
                cause="address_not_allowed",
            )  # fmt: skip
    api = start_api(
        sources=[{"name": "room-1", "ae_titles": ["XRAY1"]}, {"name": "silent", "ae_titles": ["XRAY2"]}],
    )
    api.headers["Authorization"] = f"Bearer {key}"
    answer = api.get("/v1/sources").json()
    room, silent = answer["items"]
    assert (room["name"], room["images_total"], room["images_today"], room["not_analysed_share"]) == (
        "room-1", 4, 4, 0.25,
    )  # fmt: skip
    assert [(each["calling_ae_title"], each["address"], each["count"]) for each in room["refused"]] == [
        ("XRAY1", "10.0.0.9", 1)
    ]
    assert (silent["name"], silent["last_seen_at"], silent["images_total"]) == ("silent", None, 0)
    assert [(each["calling_ae_title"], each["count"]) for each in answer["refused"]] == [("STRANGER", 2)]
    assert api.get("/v1/sources", params={"day": 1}).status_code == 422


def test_models_with_what_they_said(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.9), [received() for _ in range(2)])
    analysed(database, not_analysed("lateral_view"))
    with database.write() as session:
        session.get_one(Prediction, 1).recalled_at = now()
    (model,) = _items(api, "models")
    assert (model["device_uid"], model["state"]) == (DEVICE_UID, "idle")
    assert model["active"]["outcomes"] == {"positive": 2, "not_analysed": 1}
    assert model["active"]["recalled"] == 1
    assert model["shadow"] is None


def test_what_was_said_about_a_patient_is_one_call(api: httpx.Client, database: Database) -> None:
    (here,) = analysed(database, positive(0.9), [received(patient_id="SAME")])
    (there,) = analysed(database, positive(0.2), [received(patient_id="SAME", issuer_of_patient_id="CLINIC")])
    mixed = book(database, received(patient_id="OTHER", study_instance_uid=here.study_instance_uid))
    report(database)
    with database.write() as session:
        job = claim_deliveries(session, 1, 60)[0]
        mark_sent(session, job, 0, confirm_after_seconds=0.0)
    with database.write() as session:
        confirm(session, claim_questions(session, 1, 60)[0])
    clinic, hospital = api.get("/v1/patients", params={"patient_id": "SAME", "count": "true"}).json()["patients"]
    assert [patient["issuer_of_patient_id"] for patient in (clinic, hospital)] == ["CLINIC", "HOSPITAL"]
    ((study,), (of_clinic,)) = (hospital["studies"], clinic["studies"])
    assert [image["sop_instance_uid"] for image in study["instances"]] == [here.sop_instance_uid]
    assert of_clinic["instances"][0]["sop_instance_uid"] == there.sop_instance_uid
    (verdict,) = study["instances"][0]["predictions"]
    assert (verdict["outcome"], verdict["model"]["version"]) == ("positive", "1.0.0")
    results = of_clinic["instances"][0]["predictions"][0]["results"]
    places = [delivery for result in results for delivery in result["deliveries"]]
    assert sorted(place["state"] for place in places) == ["confirmed", "pending"]
    assert sum(place["confirmed_at"] is not None for place in places) == 1
    assert mixed.sop_instance_uid not in str(study)
    (one,) = api.get("/v1/patients", params={"patient_id": "SAME", "issuer_of_patient_id": "CLINIC"}).json()["patients"]
    assert one == clinic
    nobody = api.get("/v1/patients", params={"patient_id": "NOBODY"}).json()
    assert nobody == {"patients": [], "next": None, "total": None}
    read = api.get("/v1/events", params={"kind": "api.read", "limit": 1}).json()["items"][0]
    assert read["data"]["filters"] == {"patient_id": "(given)"}
    assert "NOBODY" not in str(read)


def test_without_phi_read_nobody_is_searched_for_or_shown(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database, instances=[received(patient_id="SECRET-1", accession_number="SECRET-2")])
    with database.write() as session:
        key = create_key(session, "engineer", "cli:test", [Scope.AUDIT_READ])
    masked = {"Authorization": f"Bearer {key}"}
    for path in ("predictions", "studies", "instances", "predictions/export", "studies/export"):
        for name in ("patient_id", "issuer_of_patient_id", "accession_number"):
            refused = api.get(f"/v1/{path}", params={name: "SECRET-1"}, headers=masked)
            assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing"), (path, name)
            if name == "accession_number":
                continue
            assert api.get(f"/v1/{path}", params={name: "HOSPITAL"}).status_code == 200
        shown = api.get(f"/v1/{path}", headers=masked)
        assert shown.status_code == 200
        assert "SECRET" not in shown.text
        assert "(masked)" in shown.text
    assert api.get("/v1/patients", params={"patient_id": "SECRET-1"}, headers=masked).status_code == 403
    assert "SECRET" not in api.get(f"/v1/studies/{image.study_instance_uid}", headers=masked).text
    assert "SECRET" not in api.get("/v1/events", headers=masked).text


def test_events_by_prefix_actor_request_and_time(api: httpx.Client, database: Database) -> None:
    analysed(database)
    api.get("/v1/predictions", headers={"X-Request-ID": "abc-123"})
    (read,) = _items(api, "events", request_id="abc-123")
    assert (read["kind"], read["actor"]) == ("api.read", "tester")
    assert {item["kind"] for item in _items(api, "events", kind="instance.")} == {"instance.received"}
    assert {item["kind"] for item in _items(api, "events", actor="XRAY1")} == {"instance.received"}
    assert _items(api, "events", kind="nothing.") == []
    assert _items(api, "events", before="2001-01-01") == []
    assert _items(api, "events", since=read["at"], kind="api.read") == [read]
