"""Typefaces for names in many scripts: DejaVu, which is embedded, and CJK ones that PDF viewers supply."""

from __future__ import annotations

import functools
import html
import unicodedata
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "DejaVuSans", "DejaVuSans-Bold"
# PDF 32000-1 9.7.5.2: typefaces by the character set whose text each of them holds. Japan's comes first: Korean and
# Chinese names in common characters are told apart by nothing.
_CJK = {"shift_jis": "HeiseiKakuGo-W5", "gbk": "STSong-Light", "euc_kr": "HYGothic-Medium", "big5": "MSung-Light"}


@functools.cache
def register() -> TTFont:
    """Make the typefaces known to reportlab; returns the regular one."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
    for name in _CJK.values():
        pdfmetrics.registerFont(UnicodeCIDFont(name))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return pdfmetrics.getFont(REGULAR)


def marked_up(text: str) -> str | None:
    """The text as reportlab's markup with a typeface for each part; None where some of it cannot be set.

    That are scripts without a typeface here, and those written from right to left, which would come out reversed.
    """
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text):
        return None
    glyphs = register().face.charToGlyph
    others = "".join(letter for letter in text if ord(letter) not in glyphs)
    cjk = next((name for character_set, name in _CJK.items() if _holds(character_set, others)), None)
    if cjk is None:
        return None
    parts = []
    for embedded, letters in groupby(text, key=lambda letter: ord(letter) in glyphs):
        part = html.escape("".join(letters), quote=False)
        parts.append(part if embedded else f'<font name="{cjk}">{part}</font>')
    return "".join(parts)


def _holds(character_set: str, text: str) -> bool:
    try:
        text.encode(character_set)
    except UnicodeEncodeError:
        return False
    return True
