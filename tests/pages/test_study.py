from __future__ import annotations

from playwright.sync_api import expect
from sqlalchemy import select

from audit.models import Agreement, Delivery, Feedback, Instance, JobState, Prediction
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
