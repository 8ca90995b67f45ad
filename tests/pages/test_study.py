from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import expect
from sqlalchemy import select, update

from audit.models import Agreement, AuditEvent, Delivery, Feedback, Instance, Job, JobState, Prediction, Study, now
from core.records import DeliveryState
from tests.pages.conftest import Site, Visitor
from tests.pages.hospital import PATIENT


def test_a_study_from_its_arrival_to_confirmation(doctor: Visitor, site: Site) -> None:
    page = doctor.goes(f"/studies/{site.hospital.study}")
    expect(page.locator(".facts")).to_contain_text(PATIENT)
    expect(page.get_by_text("Probability of pneumonia 91.3")).to_be_visible()
    expect(page.get_by_text("The probability lies close to the threshold")).to_be_visible()
    expect(page.get_by_text("A lateral view; the model knows frontal ones")).to_be_visible()
    timeline = page.get_by_role("region", name="From arrival to confirmation").get_by_role("listitem")
    expect(timeline.first).to_contain_text("Image received")
    expect(timeline.filter(has_text="Delivery given up: Structured report at main-pacs").first).to_be_visible()
    expect(timeline.filter(has_text="Confirmed by the destination: Structured report").first).to_be_visible()

    for name, width in (("The radiograph as the model saw it", 384), ("The same beside the regions", 768)):
        picture = page.get_by_role("img", name=name)
        picture.scroll_into_view_if_needed()
        page.wait_for_function("(image) => image.complete", arg=picture.element_handle())
        assert picture.evaluate("(image) => image.naturalWidth") == width


def test_a_result_is_sent_again(doctor: Visitor, site: Site) -> None:
    page = doctor.goes(f"/studies/{site.hospital.study}")
    button = page.get_by_role("button", name="Send Structured report to main-pacs again")
    delivery_id = button.evaluate("(button) => button.form.action").split("/")[-2]
    button.click()
    expect(page.get_by_role("status")).to_have_text("The delivery is queued again.")
    with site.database.read() as session:
        assert session.get_one(Delivery, int(delivery_id)).state is DeliveryState.PENDING


def test_the_link_in_a_report_asks_whether_it_was_right(doctor: Visitor, site: Site) -> None:
    page = doctor.goes(f"/r/{site.hospital.image}")
    article = page.get_by_role("article").first
    expect(article.get_by_role("heading", level=2)).to_have_text("The image the report is about")
    form, results = article.locator("form.feedback-form").bounding_box(), article.locator(".results").bounding_box()
    assert form is not None
    assert results is not None
    assert form["y"] < results["y"]

    article.get_by_label("Disagree").check()
    article.get_by_label("What the image shows, if known").select_option("no_pneumonia")
    article.get_by_label("Comment").fill("Old scar.")
    article.get_by_role("button", name="Send feedback").click()
    expect(page.get_by_role("status")).to_have_text("Thank you, the feedback is kept.")
    expect(page.locator(".said").first).to_contain_text("Old scar.")
    with site.database.read() as session:
        said = session.scalars(select(Feedback)).one()
        assert (said.agreement, said.reader) == (Agreement.DISAGREE, "dr.weber")

    doctor.goes("/feedback")
    expect(page.get_by_role("table", name="Newest feedback")).to_contain_text("Old scar.")


def test_an_image_that_failed_is_analysed_again(doctor: Visitor, site: Site) -> None:
    page = doctor.goes("/dead-letters")
    page.get_by_role("button", name="Analyse image").click()
    expect(page.get_by_role("status")).to_have_text("The image will be analysed again.")
    with site.database.read() as session:
        withdrawn = select(Instance).join(Instance.predictions).where(Prediction.recalled_at.is_not(None))
        assert session.scalars(withdrawn).one().job.state is JobState.PENDING


def test_whoever_may_only_read_gets_no_button(visitor: Visitor, site: Site) -> None:
    page = visitor.signs_in(site.hospital.reader_key, f"/studies/{site.hospital.study}")
    expect(page.locator("main form")).to_have_count(0)
    expect(page.get_by_text("you need the scope feedback:write").first).to_be_visible()


def test_feedback_that_contradicts_itself_is_still_there_to_be_mended(doctor: Visitor, site: Site) -> None:
    page = doctor.goes(f"/r/{site.hospital.image}")
    article = page.get_by_role("article").first
    article.get_by_label("Agree", exact=True).check()
    article.get_by_label("What the image shows, if known").select_option("no_pneumonia")
    article.get_by_label("Comment").fill("First line.\nSecond line.")
    article.get_by_label("Reader").fill("Dr. Other")
    article.get_by_role("button", name="Send feedback").click()
    expect(page.get_by_role("alert").first).to_contain_text("contradicts agreeing")
    expect(article.get_by_label("Agree", exact=True)).to_be_checked()
    expect(article.get_by_label("What the image shows, if known")).to_have_value("no_pneumonia")
    expect(article.get_by_label("Comment")).to_have_value("First line.\nSecond line.")
    expect(article.get_by_label("Comment")).to_be_focused()
    expect(article.get_by_label("Reader")).to_have_value("Dr. Other")
    article.get_by_label("What the image shows, if known").select_option("")
    article.get_by_role("button", name="Send feedback").click()
    expect(page.get_by_role("status")).to_have_text("Thank you, the feedback is kept.")
    assert page.url.startswith(f"{site.address}/r/{site.hospital.image}")
    doctor.complaints.clear()  # the browser says on its console that the first answer was 422


def test_a_comment_as_long_as_the_form_takes_is_kept(doctor: Visitor, site: Site) -> None:
    comment = "\n".join(["x" * 99] * 20)
    page = doctor.goes(f"/studies/{site.hospital.study}")
    page.get_by_label("Unsure").first.check()
    page.get_by_label("Comment").first.fill(comment)
    page.get_by_role("button", name="Send feedback").first.click()
    expect(page.get_by_role("status")).to_have_text("Thank you, the feedback is kept.")
    with site.database.read() as session:
        assert session.scalars(select(Feedback.comment).order_by(Feedback.id.desc())).first() == comment


def test_whoever_sees_no_patient_gets_a_sentence_for_the_pictures(visitor: Visitor, site: Site) -> None:
    page = visitor.signs_in(site.hospital.masked_key, f"/studies/{site.hospital.study}")
    expect(page.get_by_text("Seeing the pictures needs the scope phi:read")).to_be_visible()
    expect(page.locator("img")).to_have_count(0)
    with site.database.read() as session:
        refused = select(AuditEvent).where(AuditEvent.kind == "api.refused", AuditEvent.actor == "statistics")
        assert [event.data for event in session.scalars(refused) if "kind" in event.data["route"]] == []


def test_events_name_the_image_they_are_about(doctor: Visitor, site: Site) -> None:
    page = doctor.goes(f"/studies/{site.hospital.study}")
    timeline = page.get_by_role("region", name="From arrival to confirmation").get_by_role("listitem")
    received = timeline.filter(has_text="Image received")
    assert sorted(re.findall(r"Image \d", " ".join(received.all_text_contents()))) == ["Image 1", "Image 2"]
    expect(timeline.filter(has_text="Not analysed").get_by_role("link", name="Image 2")).to_have_count(1)
    expect(timeline.filter(has_text="Delivery given up").first).to_contain_text("Image 1")
    received.get_by_role("link", name="Image 2").click()
    second = page.get_by_role("article", name="Image 2 of 2")
    expect(second).to_be_in_viewport()
    expect(second).to_contain_text("A lateral view")

    doctor.goes(f"/studies/{site.hospital.waiting_study}")
    expect(timeline.filter(has_text="Image received")).to_have_count(1)
    expect(timeline.get_by_role("link")).to_have_count(0)


def test_only_what_can_go_out_again_has_a_button(doctor: Visitor, site: Site) -> None:
    again = doctor.goes(f"/studies/{site.hospital.study}").get_by_role("button", name=re.compile("^Send .* again$"))
    offered = again.count()
    delivery_id = int(again.first.evaluate("(button) => button.form.action").split("/")[-2])
    for ended in ({"last_error": "recalled"}, {"last_error": "erased"}, {"due_at": None}):
        with _changed(site, Delivery, delivery_id, **ended):
            doctor.goes(f"/studies/{site.hospital.study}")
            expect(again).to_have_count(offered - 1)
    doctor.goes(f"/studies/{site.hospital.study}")
    expect(again).to_have_count(offered)


def test_an_erased_study_takes_no_feedback_and_sends_nothing(doctor: Visitor, site: Site) -> None:
    with site.database.read() as session:
        study_id = session.scalars(select(Study.id).where(Study.study_instance_uid == site.hospital.study)).one()
    with _changed(site, Study, study_id, erased_at=now()):
        page = doctor.goes(f"/studies/{site.hospital.study}")
        expect(page.get_by_text("nothing more can be said of it")).to_be_visible()
        expect(page.locator("main form")).to_have_count(0)


def test_why_an_image_still_waits(doctor: Visitor, site: Site) -> None:
    with site.database.read() as session:
        study = select(Job.id).join(Job.instance).join(Instance.study)
        job_id = session.scalars(study.where(Study.study_instance_uid == site.hospital.waiting_study)).one()
    for attempts, told in ((1, "Tried 1 time: The analysis failed"), (2, "Tried 2 times: The analysis failed")):
        with _changed(site, Job, job_id, attempts=attempts, last_error="analysis_failed"):
            expect(doctor.goes(f"/studies/{site.hospital.waiting_study}").get_by_text(told)).to_be_visible()


@contextmanager
def _changed(site: Site, table: type[Any], row_id: int, **values: object) -> Iterator[None]:
    """For the length of the block."""
    with site.database.write() as session:
        row = session.get_one(table, row_id)
        before = {name: getattr(row, name) for name in values}
        session.execute(update(table).where(table.id == row_id).values(values))
    try:
        yield
    finally:
        with site.database.write() as session:
            session.execute(update(table).where(table.id == row_id).values(before))
