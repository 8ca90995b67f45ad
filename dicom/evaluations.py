"""What a report says in codes about one image beside its numbers."""

from __future__ import annotations

from highdicom import sr
from pydicom.sr.coding import Code

from core.records import Analysis, Outcome
from dicom import codes

PRESENCE = {
    Outcome.POSITIVE: codes.PRESENT,
    Outcome.NEGATIVE: codes.ABSENT,
    Outcome.NOT_ANALYSED: codes.UNDETERMINED,
    Outcome.FAILED: codes.UNDETERMINED,
}
_RUN = {
    Outcome.POSITIVE: codes.SUCCEEDED_WITH_FINDINGS,
    Outcome.NEGATIVE: codes.SUCCEEDED_WITHOUT_FINDINGS,
    Outcome.NOT_ANALYSED: codes.NONE_SUCCEEDED,
    Outcome.FAILED: codes.NONE_SUCCEEDED,
}
_STATUS = {
    Outcome.POSITIVE: codes.SUCCEEDED,
    Outcome.NEGATIVE: codes.SUCCEEDED,
    Outcome.NOT_ANALYSED: codes.NOT_ATTEMPTED,
    Outcome.FAILED: codes.ANALYSIS_FAILED,
}
# Reasons and warnings that a standard code says. The others have none, and stay words with our code in front.
_REMARKS = {
    "low_resolution": ((codes.QUALITY_ASSESSMENT, codes.LIMITED_QUALITY),),
    "low_contrast": ((codes.QUALITY_ASSESSMENT, codes.LIMITED_QUALITY),),
    "blank_image": (
        (codes.QUALITY_ASSESSMENT, codes.NON_DIAGNOSTIC_QUALITY),
        (codes.QUALITY_FINDING, codes.NO_IMAGE),
    ),
    "analysis_failed": ((codes.QUALITY_FINDING, codes.SOFTWARE_FAILURE),),
    "worker_lost": ((codes.QUALITY_FINDING, codes.SOFTWARE_FAILURE),),
}


def evaluations(analysis: Analysis, finding: Code) -> list[sr.QualitativeEvaluation]:
    """Presence of the finding, end of the analysis, and what is wrong with the image where a code exists."""
    outcome = analysis.outcome
    said = [
        (finding, PRESENCE[outcome]),
        (codes.PROCESSING_SUMMARY, _RUN[outcome]),
        (codes.SUMMARY_OF_ANALYSES, _STATUS[outcome]),
    ]
    for remark in (*analysis.reasons, *analysis.warnings):
        said += _REMARKS.get(remark.code, ())
    return [sr.QualitativeEvaluation(name=name, value=value) for name, value in dict.fromkeys(said)]
