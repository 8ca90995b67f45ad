"""Every coded concept we write or recognise, with its coding scheme."""

from __future__ import annotations

from pydicom.sr.coding import Code

# The finding and what is said of it
PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
LUNG = Code("39607008", "SCT", "Lung")
PRESENT = Code("52101004", "SCT", "Present")  # CID 240
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
CERTAINTY_OF_FINDING = Code("111012", "DCM", "Certainty of Finding")
# Not (111071, DCM, "CAD Operating Point"): that numbers the points of an FROC curve (PS3.17 E.4, TID 4023).
THRESHOLD_VALUE = Code("122411", "DCM", "Threshold Value")
PERCENT = Code("%", "UCUM", "Percent")

# The run of the algorithm, CID 6047 and CID 6042
PROCESSING_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
SUCCEEDED_WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
SUCCEEDED_WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
NOT_ALL_SUCCEEDED_WITHOUT_FINDINGS = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
NOT_ALL_SUCCEEDED_WITH_FINDINGS = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")
SUMMARY_OF_ANALYSES = Code("111065", "DCM", "Summary of Analyses")
SUCCEEDED = Code("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED = Code("111223", "DCM", "Partially Succeeded")
ANALYSIS_FAILED = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162

# The image's quality: CID 7036 named as PS3.20 10.9 does, and CID 6135
QUALITY_ASSESSMENT = Code("111050", "DCM", "Quality Assessment")
LIMITED_QUALITY = Code("RID13", "RADLEX", "Limited quality")
NON_DIAGNOSTIC_QUALITY = Code("RID14", "RADLEX", "Non-diagnostic quality")
QUALITY_FINDING = Code("111052", "DCM", "Quality Finding")
NO_IMAGE = Code("111213", "DCM", "No image")
SOFTWARE_FAILURE = Code("111218", "DCM", "Software failure")

# The report, TID 1500 and TID 1600
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")  # CID 100 has no code for a plain radiograph
ENGLISH = Code("en", "RFC5646", "English")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
DEVICE = Code("121007", "DCM", "Device")  # CID 270
IMAGE_VIEW = Code("111031", "DCM", "Image View")  # TID 1603
SOURCE = Code("260753009", "SCT", "Source")
ORIGINAL_SOURCE = Code("111040", "DCM", "Original Source")
SUMMARY = Code("121111", "DCM", "Summary")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
SOURCE_REPORT = Code("128225", "DCM", "Source report")
COMMENT = Code("121106", "DCM", "Comment")
URI = Code("110037", "DCM", "URI")
GRAD_CAM = Code("130403", "DCM", "Gradient-weighted class activation")  # CID 217

# Derivation and equipment
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")  # CID 7203
PIXEL_MASK = Code("113047", "DCM", "Pixel by pixel mask")  # CID 7203
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005

# Key objects, TID 2010 and CID 7010; the last two titles withdraw objects (IHE RAD IOCM)
OF_INTEREST = Code("113000", "DCM", "Of Interest")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
REJECTED_FOR_QUALITY_REASONS = Code("113001", "DCM", "Rejected for Quality Reasons")
REJECTED_FOR_PATIENT_SAFETY_REASONS = Code("113037", "DCM", "Rejected for Patient Safety Reasons")

# Segmentation, CID 7150 and CID 7203
MORPHOLOGICALLY_ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
SEGMENTATION = Code("113076", "DCM", "Segmentation")

# Views, CID 4010
ANTERO_POSTERIOR = Code("399348003", "SCT", "antero-posterior")
POSTERO_ANTERIOR = Code("272479007", "SCT", "postero-anterior")
FRONTAL = Code("399033003", "SCT", "frontal")
LATERAL = Code("399067008", "SCT", "lateral")
LEFT_LATERAL = Code("399173006", "SCT", "left lateral")
RIGHT_LATERAL = Code("399198007", "SCT", "right lateral")

# Anatomic regions, CID 4031 today, and what older equipment sends
CHEST = Code("816094009", "SCT", "Chest")
THORACIC_STRUCTURE = Code("51185008", "SCT", "Thoracic structure (body structure)")
THORACIC_CAVITY = Code("43799004", "SCT", "Thoracic cavity structure")
CHEST_REGIONS = (CHEST, THORACIC_STRUCTURE, THORACIC_CAVITY, LUNG)

_FINDINGS = {"pneumonia": PNEUMONIA}


def finding(label: str) -> Code:
    """The concept of what a model's record calls its label."""
    if label not in _FINDINGS:
        raise ValueError(f"a label needs a coded concept, one of {', '.join(_FINDINGS)}; got {label!r}")
    return _FINDINGS[label]
