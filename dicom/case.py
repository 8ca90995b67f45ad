"""What every result about one image is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.records import Analysis, ModelIdentity, Region
from dicom.reading import SourceImage


@dataclass(frozen=True, slots=True)
class Case:
    """One analysed image. Two builds of the same case give the same bytes."""

    source: SourceImage
    analysis: Analysis
    model: ModelIdentity
    intended_use: str
    created: datetime
    """The start of the analysis (IHE AIR 6.5.3.1)."""
    region: Region | None = None
    """Where a positive answer came from; None for every other outcome."""
    generation: int = 1
    """Above 1, an earlier analysis by the same model has to be told apart from this one: part of every derived UID."""
    feedback_url: str = ""
    """The page where readers say whether the answer is right; empty where results carry no link."""
