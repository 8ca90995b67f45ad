from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cli.contact_sheet import FILMS, Film, draw_pictures


def test_a_sheet_holds_every_film_and_the_example_is_a_page(tmp_path: Path) -> None:
    films = (Film(20, True, 353, 512), Film(4, False, 512, 480, mirrored=True), Film(1, False, 480, 512))
    sheet, example = (np.asarray(Image.open(path)) for path in draw_pictures(tmp_path, films))
    assert example.shape[1:] == (1280, 3)
    width = sheet.shape[1] // 2
    # Two lines of two places each; the fourth is empty.
    assert len(np.unique(sheet[-200:, width + 20 :].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(sheet[-200:, : width - 20].reshape(-1, 3), axis=0)) > 20


def test_the_films_are_of_every_kind() -> None:
    assert {film.rows > film.columns for film in FILMS} == {True, False}
    assert min(max(film.rows, film.columns) for film in FILMS) == 512
    assert max(max(film.rows, film.columns) for film in FILMS) == 4000
    assert {film.sex for film in FILMS} == {"F", "M"}
