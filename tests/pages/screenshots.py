"""Pictures of the pages of a running service, for the README: ``python -m tests.pages.screenshots ADDRESS KEY FOLDER``.

Start the service with ``pneumo demo --keep``, which prints address and key: its radiographs are drawn, nobody's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.services import require_program

_DESK = {"viewport": {"width": 1280, "height": 900}}
_PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "color_scheme": "dark"}


def take(browser: Browser, address: str, key: str, path: str, picture: Path, *, how: dict[str, object]) -> None:
    context = browser.new_context(locale="en-GB", **how)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{address}/sign-in?next={path}")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}{path}")
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()  # they are loaded when they are seen
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")
    height = min(1400, int(page.evaluate("document.documentElement.scrollHeight")))
    page.screenshot(
        path=picture, full_page=True, clip={"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}
    )
    context.close()


def main(address: str, key: str, folder: Path) -> None:
    answer = httpx.get(
        f"{address}/v1/predictions",
        params={"outcome": "positive", "limit": 1, "sort": "probability_high"},
        headers={"Authorization": f"Bearer {key}"},
    )
    (positive,) = answer.raise_for_status().json()["items"]
    study = f"/studies/{positive['study_instance_uid']}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_program("chromium"), args=["--no-sandbox"])
        take(browser, address, key, study, folder / "page_study.png", how=_DESK)
        take(browser, address, key, study, folder / "page_study_dark_phone.png", how=_PHONE)
        take(browser, address, key, "/", folder / "page_today.png", how=_DESK)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
