"""Orthanc's web viewer, in a headless browser, shows the Secondary Capture as we drew it.

``PNEUMO_WRITE_PICTURES=1 pytest tests/system/test_viewer.py`` also writes docs/pictures/orthanc_viewer.png.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import dcmread

from cli.phantom import SAMPLES, draw
from core.destinations import DICOMDestination
from core.records import Outcome, ResultKind
from core.settings import Settings
from core.spool import Spool
from dicom.envelope import write
from dicom.wrapping import Wrapping, dx_from_image
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from tests.services import require_program
from tests.system.orthanc import WEB_VIEWER, Orthanc
from tests.worker.pacs import due
from worker.answers import Sent
from worker.delivery import deliver
from worker.pipeline import analyse

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "orthanc_viewer.png"
COLUMNS, ROWS = 1280, 1024
_COARSE = 8
"""Screen pixels along one side of what is compared while the picture is searched for."""

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def secondary_capture() -> bytes:
    """Of the invented child with pneumonia, by the shipped model."""
    (child,) = (sample for sample in SAMPLES if sample.patient_id == "DEMO-004")
    about = Wrapping(
        patient_id=child.patient_id, patient_name=child.patient_name, patient_sex=child.patient_sex,
        patient_age=child.patient_age, taken=datetime(2026, 3, 1, 9, 30, tzinfo=UTC), seed="viewer",
    )  # fmt: skip
    film = write(dx_from_image(draw(child.seed, child.pneumonia, rows=child.rows, columns=child.columns), about))
    classifier = Classifier.load(DEFAULT_WEIGHTS)
    (analysed,) = analyse([BytesIO(film)], classifier, Settings().intended_use)
    assert analysed.analysis.outcome is Outcome.POSITIVE
    (capture,) = (result for result in analysed.results if result.kind is ResultKind.SECONDARY_CAPTURE)
    return capture.content


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    server = Orthanc(
        tmp_path / "orthanc",
        plugins=[WEB_VIEWER],
        settings={"WebViewer": {"CachePath": str(tmp_path / "cache")}},
    )
    server.start()
    yield server
    server.stop()


def take_screenshot(url: str, folder: Path) -> Path:
    picture = folder / "screen.png"
    subprocess.run(
        [
            require_program("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--no-proxy-server", "--disable-background-networking", f"--user-data-dir={folder / 'browser'}",
            f"--window-size={COLUMNS},{ROWS}", "--virtual-time-budget=20000", f"--screenshot={picture}", url,
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return picture


class Found(NamedTuple):
    correlation: float
    shown: Floats
    """The part of the screen, coarse."""
    drawn: Floats
    """The picture at the zoom of the screen, as coarse."""


def search(picture: Picture, screen: Picture) -> Found:
    """The place and zoom at which the screen is most like the picture, both (h, w, 3)."""
    height, width = picture.shape[:2]
    fitting = min(ROWS / height, COLUMNS / width) / _COARSE
    whole = coarse(screen, COLUMNS // _COARSE, ROWS // _COARSE)
    best: Found | None = None
    for zoom in np.linspace(0.7, 1.0, 16) * fitting:
        drawn = coarse(picture, round(width * zoom), round(height * zoom))
        windows = np.lib.stride_tricks.sliding_window_view(whole, drawn.shape)
        correlations = correlate(windows, drawn)
        place = np.unravel_index(int(correlations.argmax()), correlations.shape)
        if best is None or correlations[place] > best.correlation:
            best = Found(float(correlations[place]), windows[place], drawn)
    assert best is not None
    return best


def coarse(picture: Picture, width: int, height: int) -> Floats:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX), np.float64)


def correlate(windows: Floats, wanted: Floats) -> Floats:
    """Normalised, over the last three axes."""
    pattern = wanted - wanted.mean()
    covariance = np.einsum("...ijk,ijk->...", windows, pattern) / wanted.size
    spread = np.asarray(windows.std(axis=(-3, -2, -1))) * pattern.std()
    return np.asarray(covariance / np.maximum(spread, 1e-9))


def tint(picture: Floats) -> Floats:
    """Red minus blue, of which a grey film has nothing; (h, w, 1)."""
    return picture[..., :1] - picture[..., 2:]


def test_the_viewer_shows_the_picture_we_sent(orthanc: Orthanc, tmp_path: Path) -> None:
    content, spool = secondary_capture(), Spool((tmp_path / "spool").as_uri())
    capture = dcmread(BytesIO(content))
    job = due(content, spool, sop_class_uid=str(capture.SOPClassUID), sop_instance_uid=str(capture.SOPInstanceUID))
    pacs = DICOMDestination(name="pacs", ae_title=orthanc.ae_title, host=orthanc.host, port=orthanc.port)
    assert [answer for _, answer in deliver([job], pacs, spool, "PNEUMO")] == [Sent(0)]
    (series,) = orthanc.get("/series")

    deadline = time.monotonic() + 30
    while True:
        file = take_screenshot(f"{orthanc.url}/web-viewer/app/viewer.html?series={series}", tmp_path)
        found = search(capture.pixel_array, np.asarray(Image.open(file).convert("RGB")))
        if found.correlation > 0.95 or time.monotonic() > deadline:  # a page may be pictured before it is complete
            break
    assert found.correlation > 0.95, "the viewer shows something else"
    assert correlate(found.shown, found.drawn[:, ::-1]) < 0.9, "left may be right"
    assert correlate(tint(found.shown), tint(found.drawn)) > 0.9, "the heat map is not where we drew it"
    levels = np.linspace(0, 1, 21)
    differences = np.quantile(found.shown, levels, axis=(0, 1)) - np.quantile(found.drawn, levels, axis=(0, 1))
    assert np.abs(differences).mean() < 4, "greys or colours are not those we sent"

    if os.environ.get("PNEUMO_WRITE_PICTURES") == "1":
        PICTURE.write_bytes(file.read_bytes())
