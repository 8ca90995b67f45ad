"""The page, held against dciodvfy and read by poppler as a PDF viewer would."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from core.records import Finding
from dicom import encapsulated_pdf
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import is_own_result
from dicom.reading import SourceImage
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, picture, reread
from tests.dicom.test_results import INTENDED_USE, SOURCES, dciodvfy
from tests.services import require_program

PICTURE = np.full((300, 256, 3), (200, 30, 30), np.uint8)


def page_of(source: SourceImage, outcome: str = "positive") -> Dataset:
    shown = PICTURE if ANALYSES[outcome].prediction else None
    return encapsulated_pdf.build(Case(source, ANALYSES[outcome], MODEL, INTENDED_USE, CREATED), shown)


def extracted(document: Dataset, folder: Path) -> Path:
    path = folder / "page.pdf"
    path.write_bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])
    return path


def words(document: Dataset, folder: Path) -> str:
    """The page's text; poppler complains of fonts and characters it lacks."""
    command = [require_program("pdftotext"), "-layout", "-enc", "UTF-8", str(extracted(document, folder)), "-"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert run.stdout.count("\f") == 1, "one page"
    return run.stdout


@pytest.mark.parametrize("source", ["clean", "dirty", "bare", "japanese"])
def test_dciodvfy_finds_nothing(source: str, tmp_path: Path) -> None:
    for outcome in ("positive", "failed"):
        assert dciodvfy(page_of(SOURCES[source], outcome), tmp_path) == []


def test_patient_and_result_can_be_read_and_copied(tmp_path: Path) -> None:
    found = words(page_of(SOURCES["clean"]), tmp_path)
    for said in (
        "Nobody, Nina", "NOBODY-1", "2021-01-02", "2025-11-12", "A-17", "mobilenet_v2 1.0.0", "positive from 50.0 %",
        "Pneumonia: signs found", "87.3 %", "the header does not tell the age",
    ):  # fmt: skip
        assert said in found
    assert found.count(INTENDED_USE) == 2
    assert "says nothing about whether" in words(page_of(SOURCES["clean"], "not_analysed"), tmp_path)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("dirty", "Müller, Jörg"),
        ("cyrillic", "Иванова, Анна"),
        ("greek", "Παπαδάκης, Άννα"),
        ("japanese", "Yamada, Tarou / 山田, 太郎 / やまだ, たろう"),
        ("korean", "Hong, Gildong / 洪, 吉洞 / 홍, 길동"),
        ("utf8", "Wang, XiaoDong / 王, 小东"),
    ],
)
def test_names_are_set_in_their_script(source: str, name: str, tmp_path: Path) -> None:
    assert name in words(page_of(SOURCES[source], "negative"), tmp_path)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Cohen^Dana=כהן^דנה", "Cohen, Dana"),
        ("สมชาย^ใจดี", "cannot be printed here"),
        ("<b>O'Brien^Tom & Co", "<b>O'Brien, Tom & Co"),
    ],
)
def test_a_script_without_a_typeface_is_said_and_not_drawn_as_boxes(name: str, shown: str, tmp_path: Path) -> None:
    dataset = clean_dx(seed=name)
    dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 192", name
    document = page_of(as_source(dataset))
    (line,) = [each for each in words(document, tmp_path).splitlines() if each.startswith("Patient  ")]
    assert shown in line
    assert "=" not in line
    assert document.PatientName == name


def test_the_picture_is_on_the_page_and_many_words_leave_it_room(tmp_path: Path) -> None:
    talkative = replace(
        ANALYSES["positive"], warnings=tuple(Finding(f"warning_{number}", "words " * 30) for number in range(20))
    )
    for analysis in (ANALYSES["positive"], talkative):
        document = encapsulated_pdf.build(Case(SOURCES["clean"], analysis, MODEL, INTENDED_USE, CREATED), PICTURE)
        assert INTENDED_USE in words(document, tmp_path)
        command = [
            require_program("pdftoppm"),
            "-r",
            "36",
            "-png",
            "-singlefile",
            tmp_path / "page.pdf",
            tmp_path / "page",
        ]
        subprocess.run(command, check=True)
        with Image.open(tmp_path / "page.png") as image:
            page = np.asarray(image.convert("RGB")).astype(int)
        red = np.abs(page - PICTURE[0, 0]).max(axis=2) < 12
        rows, columns = np.nonzero(red)
        assert red.sum() > 0.12 * red.size
        assert red.sum() == pytest.approx((np.ptp(rows) + 1) * (np.ptp(columns) + 1), rel=0.05)


def test_the_same_case_makes_the_same_bytes() -> None:
    case = Case(SOURCES["japanese"], ANALYSES["positive"], MODEL, INTENDED_USE, CREATED)
    first, second = (write(encapsulated_pdf.build(case, picture())) for _ in range(2))
    assert first == second
    assert is_own_result(reread(first))
