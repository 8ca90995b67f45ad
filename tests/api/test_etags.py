from __future__ import annotations

import httpx

from audit.session import Database
from tests.audit.rows import analysed


def test_what_has_not_changed_is_told_in_no_bytes(api: httpx.Client, database: Database) -> None:
    analysed(database)
    first = api.get("/v1/predictions")
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert first.headers["Cache-Control"] == "no-store"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = api.get("/v1/predictions", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == "no-store"
        assert "Content-Type" not in again.headers
    analysed(database)
    changed = api.get("/v1/predictions", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert len(changed.json()["items"]) == 2
    assert changed.headers["ETag"] != tag


def test_callers_who_see_patients_masked_have_tags_of_their_own(api: httpx.Client, database: Database) -> None:
    from audit.api_keys import create_key
    from core.scopes import Scope

    analysed(database)
    with database.write() as session:
        key = create_key(session, "engineer", "cli:test", [Scope.AUDIT_READ])
    tag = api.get("/v1/predictions/1").headers["ETag"]
    masked = api.get("/v1/predictions/1", headers={"Authorization": f"Bearer {key}", "If-None-Match": tag})
    assert masked.status_code == 200


def test_a_problem_and_a_stream_have_none(api: httpx.Client, database: Database) -> None:
    assert "ETag" not in api.get("/v1/predictions/1").headers
    assert "ETag" not in api.get("/v1/predictions/export").headers


def test_the_document_says_which_answers_have_one(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database)
    known = {
        "study_instance_uid": image.study_instance_uid, "sop_instance_uid": image.sop_instance_uid, "prediction_id": 1,
        "kind": "overlay",
    }  # fmt: skip
    tagged = set()
    for path, operations in api.get("/openapi.json").json()["paths"].items():
        if "get" not in operations:
            continue
        address = path.format(**known)
        answer = api.get(address, params={"patient_id": "P"} if path == "/v1/patients" else {})
        if answer.status_code != 200:
            continue
        has_tag, documented = "ETag" in answer.headers, operations["get"]
        headers = {each["name"] for each in documented.get("parameters", ()) if each["in"] == "header"}
        assert ("304" in documented["responses"], "If-None-Match" in headers) == (has_tag, has_tag), path
        assert ("ETag" in documented["responses"]["200"].get("headers", {})) is has_tag, path
        if has_tag:
            tagged.add(path)
    assert {"/v1/predictions", "/v1/predictions/{prediction_id}", "/v1/patients", "/v1/events"} <= tagged
