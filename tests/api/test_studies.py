from __future__ import annotations

import httpx

from audit.inference_jobs import claim_inference
from audit.session import Database
from tests.audit.rows import analysed, book, received


def test_images_that_wait_stand_beside_those_that_are_finished(api: httpx.Client, database: Database) -> None:
    (first,) = analysed(database)
    study = first.study_instance_uid
    in_work = book(database, received(study_instance_uid=study))
    with database.write() as session:
        claim_inference(session, 1, 60)
    waiting = book(database, received(study_instance_uid=study, patient_id="PATIENT-2"))
    shown = api.get(f"/v1/studies/{study}").json()
    assert (shown["study_instance_uid"], shown["unfinished"], shown["reported_at"]) == (study, 2, None)
    assert [(image["sop_instance_uid"], image["state"], image["attempts"]) for image in shown["instances"]] == [
        (first.sop_instance_uid, "finished", 1),
        (in_work.sop_instance_uid, "in_work", 1),
        (waiting.sop_instance_uid, "waiting", 0),
    ]
    (verdict,) = shown["instances"][0]["predictions"]
    assert verdict["outcome"] == "positive"
    assert [delivery["due_at"] for result in verdict["results"] for delivery in result["deliveries"]] == [None, None]
    assert [image["predictions"] for image in shown["instances"][1:]] == [[], []]
    assert shown["instances"][2]["patient_id"] == "PATIENT-2"


def test_an_image_whose_worker_died_waits_again(api: httpx.Client, database: Database) -> None:
    image = book(database)
    with database.write() as session:
        claim_inference(session, 1, lease_seconds=-1)
    (shown,) = api.get(f"/v1/studies/{image.study_instance_uid}").json()["instances"]
    assert (shown["state"], shown["attempts"]) == ("waiting", 1)


def test_a_study_nobody_sent(api: httpx.Client) -> None:
    answer = api.get("/v1/studies/1.2.3")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "No image of study 1.2.3 has been received."
    assert api.get("/v1/studies/not-a-uid").status_code == 422
