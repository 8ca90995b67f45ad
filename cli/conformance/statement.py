"""The DICOM Conformance Statement (PS3.2), from the tables of the code wherever it has any."""

from __future__ import annotations

from cli.conformance import (
    air,
    codes,
    communication,
    configuration,
    objects,
    overview,
    security,
    services,
)
from cli.conformance.samples import samples


def statement() -> str:
    """Markdown; the same at each call and on any machine."""
    made = samples()
    chapters = {
        "1 Overview": overview.overview(made),
        "2 Introduction": overview.INTRODUCTION,
        "3 Implementation model": overview.MODEL,
        "4 Services": services.chapter(),
        "5 Configuration": configuration.chapter(),
        "6 Network communication": communication.chapter(made),
        "7 Security": security.SECURITY,
        "8 Character sets": security.CHARACTER_SETS,
        "9 Greyscale image consistency": security.GREYSCALE,
        "10 IHE AI Results (AIR)": air.CHAPTER,
        "Annex A Created objects": "\n\n".join((objects.created(made), objects.annex(made))),
        "Annex B Coded terminology and templates": codes.annex(made),
    }
    body = "\n\n".join(f"## {title}\n\n{content}" for title, content in chapters.items())
    return f"{overview.cover()}\n\n{body}\n"
