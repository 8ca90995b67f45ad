"""What is met of the IHE profile AI Results (AIR), as actor Evidence Creator."""

from __future__ import annotations

from cli.conformance.markdown import table, text

_MET, _PARTLY, _NOT = "met", "partly", "not met"

_ROWS = (
    ("Actor Evidence Creator", _PARTLY, "as the rows below say; no other actor of the profile"),
    ("Results as DICOM objects in the patient's study", _MET, "patient and study attributes equal the source's (A.1)"),
    (
        "Comprehensive 3D SR after TID 1500 as the root",
        _PARTLY,
        "where a destination takes `report_3d`; the default `report` is the same document as Comprehensive SR",
    ),
    ("Store evidence documents (RAD-43)", _MET, "C-STORE with retries; also STOW-RS"),
    ("Storage commitment (RAD-10)", _PARTLY, "Push Model as SCU, where the destination says `confirm = commitment`"),
    (
        "Root result that ties component results",
        _PARTLY,
        "each image's report references its Secondary Capture; `study_summary` and `key_objects`, where a destination "
        "takes them, tie the results of a study; there is no tree over several models",
    ),
    (
        "Qualitative findings",
        _MET,
        "Present, Absent or Undetermined under the finding's concept, in a measurement group; negative and missing "
        "results are coded, too",
    ),
    (
        "Measurements",
        _MET,
        "Certainty of Finding and Threshold Value as NUM in per cent; nothing is measured on the image itself",
    ),
    ("Locations", _NOT, "no points: the model does not locate"),
    (
        "Regions",
        _PARTLY,
        "where the heat map is above half of its maximum, as SCOORD polyline (TID 1410) and, where a destination takes "
        "`segmentation`, as Segmentation; it is what the model looked at and not the outline of a lesion",
    ),
    ("Parametric maps", _NOT, "the heat map is a picture (Secondary Capture), not a Parametric Map"),
    (
        "Tracking identifiers",
        _PARTLY,
        "Tracking Identifier and Tracking Unique Identifier in each group, the same in report, summary and "
        "segmentation; findings are not followed from one study to the next",
    ),
    (
        "Image references",
        _MET,
        "each group names its image; evidence sequence and image library name all of them; key objects on request",
    ),
    (
        "Algorithm in Contributing Equipment (6.5.3.1)",
        _PARTLY,
        "manufacturer, model name, software versions, Device UID and time; the purpose is (109102, DCM, "
        '"Processing Equipment"), because the code of the profile is still a placeholder',
    ),
    (
        "Device UID that changes with every retraining (6.5.3.1)",
        _MET,
        "derived from the digest of the weights, preprocessing, label, threshold and temperature",
    ),
    ("Algorithm in the report", _MET, "device observer with the Device UID; TID 4019 in each group"),
    ("Content Date and Time are the start of the analysis (6.5.3.1)", _MET, "A.3"),
    (
        "UIDs that do not change when an analysis is repeated",
        _MET,
        "derived: the same image and model give the same SOP Instance UIDs, and the bytes that were stored are sent "
        "again",
    ),
    ("Procedure Reported is the imaging procedure", _PARTLY, 'always (363679005, SCT, "Imaging procedure")'),
    ("Query by Image Display or Imaging Document Consumer (RAD-137 and others)", _NOT, "actors that we are not"),
    (
        "Secondary Capture and presentation states",
        "outside",
        "the profile allows them beside its own objects; they are for viewers that do not show SR",
    ),
    (
        "Correction and rejection (IOCM)",
        _PARTLY,
        "`pneumo recall` sends rejection notes; what comes of it is the archive's",
    ),
    ("Connectathon", _NOT, "not attended"),
)

CHAPTER = "\n\n".join(
    (
        text("""
            Supplement AI Results, revision 1.3, trial implementation. This table was written from the profile's public
            pages and test descriptions and the clauses it names; it is our own reading, confirmed by nobody. The
            reports pass the validator that IHE's tests use (PixelMed DicomSRValidator) without errors.
        """),
        table(("Requirement", "State", "Where and how"), _ROWS),
    )
)
