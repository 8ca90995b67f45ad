"""Who we are in DICOM, for the rooms that write it and the rooms that must recognise it."""

from __future__ import annotations

# PS3.5 B.2: a UUID as a decimal integer under 2.25 needs no registration. Names this implementation in file meta
# information and in association negotiation (PS3.7 D.3.3.2); it never changes.
IMPLEMENTATION_CLASS_UID = "2.25.207338475669263344986740929478569554755"
IMPLEMENTATION_VERSION_NAME = "PNEUMO_0_1"  # PS3.7 D.3.3.2.3: at most 16 characters

# General Equipment of every result object. What `pneumo send` wraps carries another model name: it is input.
MANUFACTURER = "pneumo project"
MANUFACTURER_MODEL_NAME = "pneumo"


def is_own_equipment(manufacturer: str, manufacturer_model_name: str) -> bool:
    """Whether an object with this General Equipment, or this item of Contributing Equipment, is a result of ours.

    Padding is not part of either attribute (PS3.5 6.2, VR LO).
    """
    return (manufacturer.strip(" \0"), manufacturer_model_name.strip(" \0")) == (MANUFACTURER, MANUFACTURER_MODEL_NAME)
