"""The C-STORE statuses this service answers, each named once (PS3.4 Table B.2-1; PS3.7 Annex C)."""

from __future__ import annotations

from pydicom.dataset import Dataset

SUCCESS = 0x0000
"""Synced to disk and booked; also for what is here already: modalities repeat what they are unsure of."""

KEPT_ASIDE = 0xB000
"""PS3.4 B.2.3, warning: coercion of data elements. Stored, though not as the instance of its UID, which has other bytes
here. A failure would be repeated for ever; a plain success would hide that the images differ."""

OUT_OF_RESOURCES = 0xA700
"""PS3.4 B.2.3, failure: the disk reserve is reached."""

DATA_SET_DOES_NOT_MATCH = 0xA900
"""PS3.4 B.2.3, failure: SOP Class or Instance UID of the data set is not the one of the command or the context."""

CANNOT_UNDERSTAND = 0xC000
"""PS3.4 B.2.3, failure: no DICOM data set, or one without the UIDs that tell what it is."""

PROCESSING_FAILURE = 0x0110
"""PS3.7 C.5, processing failure: the database or the disk failed us; the same object may be accepted later."""

NOT_AUTHORISED = 0x0124
"""PS3.7 C.5, refused: not authorized."""


def answer(status: int, error_comment: str = "") -> Dataset:
    """``error_comment`` holds no attribute of a patient; its VR is LO, so 64 characters of it arrive (PS3.7 E.1)."""
    response = Dataset()
    response.Status = status
    if error_comment:
        response.ErrorComment = error_comment[:64]
    return response
