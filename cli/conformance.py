"""The DICOM Conformance Statement (PS3.2), from the tables of the code wherever it has any."""

from __future__ import annotations

from cli import (
    conformance_air,
    conformance_codes,
    conformance_communication,
    conformance_configuration,
    conformance_objects,
    conformance_overview,
    conformance_security,
    conformance_services,
)
from cli.conformance_samples import samples


def statement() -> str:
    """Markdown; the same at each call and on any machine."""
    objects = samples()
    chapters = {
        "1 Overview": conformance_overview.overview(objects),
        "2 Introduction": conformance_overview.INTRODUCTION,
        "3 Implementation model": conformance_overview.MODEL,
        "4 Services": conformance_services.chapter(),
        "5 Configuration": conformance_configuration.chapter(),
        "6 Network communication": conformance_communication.chapter(objects),
        "7 Security": conformance_security.SECURITY,
        "8 Character sets": conformance_security.CHARACTER_SETS,
        "9 Greyscale image consistency": conformance_security.GREYSCALE,
        "10 IHE AI Results (AIR)": conformance_air.CHAPTER,
        "Annex A Created objects": "\n\n".join(
            (conformance_objects.created(objects), conformance_objects.annex(objects))
        ),
        "Annex B Coded terminology and templates": conformance_codes.annex(objects),
    }
    body = "\n\n".join(f"## {title}\n\n{content}" for title, content in chapters.items())
    return f"{conformance_overview.cover()}\n\n{body}\n"
