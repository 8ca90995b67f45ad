"""Secondary Captures of synthetic radiographs of many formats on one sheet, to be looked at.

No image of a patient is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cli.phantom import draw
from core.settings import Settings
from dicom.envelope import write
from dicom.wrapping import Wrapping, dx_from_image
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS
from ml.words import typeface
from worker.pipeline import analyse

Picture = npt.NDArray[np.uint8]

SHEET, EXAMPLE = "secondary_capture_sheet.png", "overlay.png"
_COLUMNS, _WIDTH, _GAP, _TITLE = 2, 580, 10, 26
_BETWEEN = (58, 62, 70)


@dataclass(frozen=True, slots=True)
class Film:
    """A phantom, its format, and what its header says."""

    seed: int
    pneumonia: bool
    rows: int
    columns: int
    sex: Literal["F", "M"] = "F"
    age: str = "003Y"
    about: str = ""
    mirrored: bool = False
    without: tuple[str, ...] = ()
    """Attributes that the header lacks."""
    operating_point: float | None = None
    """Instead of the model's, which calls no phantom of a portrait format positive."""
    intended_use: str = ""
    """Instead of the default."""

    @property
    def title(self) -> str:
        about = f", {self.about}" if self.about else ""
        age = f"{int(self.age[:3])} years" if self.age else "age unknown"
        return f"{self.columns} x {self.rows} pixels, {self.sex}, {age}{about}"

    def dicom_file(self) -> BytesIO:
        pixels = draw(self.seed, self.pneumonia, rows=self.rows, columns=self.columns)
        dx = dx_from_image(
            np.ascontiguousarray(pixels[:, ::-1]) if self.mirrored else pixels,
            Wrapping(
                patient_id="NOBODY",
                taken=datetime(2026, 1, 5, 9, tzinfo=UTC),
                patient_sex=self.sex,
                patient_age=self.age,
                seed=f"contact sheet {self.seed} {self.rows}",
            ),
        )
        if self.mirrored:
            dx.PatientOrientation = ["R", "F"]
        for keyword in self.without:
            delattr(dx, keyword)
        return BytesIO(write(dx))


_VIEW = ("ViewPosition", "ViewCodeSequence", "PatientOrientation", "SeriesDescription")
_LONG_USE = (
    "Nur für die Forschung, nicht für Diagnosen bestimmt. For research only: this is not a cleared medical device."
)
FILMS = (
    Film(8, True, 980, 1400, "M", "002Y"),
    Film(3, False, 1200, 1400),
    Film(20, True, 353, 512, "M"),
    Film(4, False, 512, 480),
    Film(8, True, 2800, 4000, "M", "002Y"),
    Film(2, False, 4000, 3200),
    Film(20, True, 2500, 2000, "M", about="another operating point", operating_point=0.02),
    Film(1, True, 1200, 1500, "M", "002Y", about="just negative"),
    Film(8, True, 980, 1400, "F", "064Y", about="mirrored", mirrored=True),
    Film(19, True, 1100, 1500, "F", "", about="view unknown", without=_VIEW, intended_use=_LONG_USE),
)  # fmt: skip


def draw_pictures(folder: Path, films: Sequence[Film] = FILMS) -> list[Path]:
    """The sheet of all films, and the page of the first one in full size."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = list(_pages(films))
    sheet, example = folder / SHEET, folder / EXAMPLE
    _sheet([film.title for film in films], pages).save(sheet, optimize=True)
    Image.fromarray(pages[0]).save(example, optimize=True)
    return [sheet, example]


def _pages(films: Sequence[Film]) -> Iterator[Picture]:
    """What the service would put into each film's Secondary Capture."""
    default_use = str(Settings.model_fields["intended_use"].default)
    classifier = Classifier.load(DEFAULT_WEIGHTS)
    record = classifier.record
    for film in films:
        threshold = record.threshold if film.operating_point is None else film.operating_point
        classifier.record = record.model_copy(update={"threshold": threshold})
        (analysed,) = analyse([film.dicom_file()], classifier, film.intended_use or default_use)
        if analysed.picture is None:
            raise ValueError(f"{film.title}: no picture, but {analysed.analysis.reasons}")
        yield analysed.picture


def _sheet(titles: Sequence[str], pages: Sequence[Picture]) -> Image.Image:
    small = [Image.fromarray(page) for page in pages]
    small = [
        page.resize((_WIDTH, round(page.height * _WIDTH / page.width)), Image.Resampling.LANCZOS) for page in small
    ]
    lines = [small[at : at + _COLUMNS] for at in range(0, len(small), _COLUMNS)]
    heights = [max(page.height for page in line) + _TITLE + _GAP for line in lines]
    sheet = Image.new("RGB", (_COLUMNS * (_WIDTH + _GAP) + _GAP, sum(heights) + _GAP), _BETWEEN)
    pen, names, y = ImageDraw.Draw(sheet), iter(titles), _GAP
    for line, height in zip(lines, heights, strict=True):
        for column, page in enumerate(line):
            x = _GAP + column * (_WIDTH + _GAP)
            pen.text((x, y + _TITLE // 2), next(names), font=typeface(15), fill=(255, 255, 255), anchor="lm")
            sheet.paste(page, (x, y + _TITLE))
        y += height
    return sheet
