"""What the images of one study say together, as Comprehensive SR (PS3.3 A.35.3) after TID 1500."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.uid import UID, ComprehensiveSRStorage, SecondaryCaptureImageStorage

from core.records import REPORT_KINDS, Outcome, ResultKind
from dicom import codes, views
from dicom.case import Case
from dicom.envelope import envelope
from dicom.evidence import Reference, evidence_sequence
from dicom.headers import integer
from dicom.identity import derived_uid, device_uid, result_uid
from dicom.observation import CONTAINS, measurement_report
from dicom.report import add_document
from dicom.report_content import measurement_group
from dicom.sentences import remarks, result_sentence, study_sentence

SERIES_NUMBER = 9010
_SERIES_DESCRIPTION = "AI study summary - RESEARCH, not for diagnosis"
_UNNUMBERED = -1


def build(cases: Sequence[Case], *, references: Sequence[Reference], predecessor: Reference | None) -> Dataset:
    """A summary of the images of one study, whatever model each was given to.

    ``references``: the results about these images. ``predecessor``: the summary that this one replaces. All summaries
    of a study with the same model share a series, in which the Instance Number is how many images one covers.

    Raises:
        ValueError: no image, or images of several studies.
    """
    if len({case.source.study_instance_uid for case in cases}) != 1:
        raise ValueError("a summary is about the images of one study, at least one")
    ordered = sorted(cases, key=lambda case: (_number(case), case.source.sop_instance_uid))
    latest = max(ordered, key=lambda case: case.created)
    said = [_words(case, place, len(ordered)) for place, case in enumerate(ordered, 1)]
    overall = study_sentence(latest.model.label, [case.analysis for case in ordered])
    # The patient and the study as the first image names them, the equipment and the time as of the last analysis.
    generation = max(case.generation for case in ordered)
    issuer = replace(ordered[0], model=latest.model, created=latest.created, generation=generation)
    texts = [latest.intended_use, overall, *(line for words in said for line in words)]
    summary = _envelope(issuer, texts)
    summary.ContributingEquipmentSequence = [
        _envelope(case, texts).ContributingEquipmentSequence[0]
        for case in {device_uid(case.model): case for case in ordered}.values()
    ]
    summary.SOPInstanceUID = summary.file_meta.MediaStorageSOPInstanceUID = UID(_uid(ordered))
    summary.InstanceNumber = len(ordered)
    add_document(summary, [*(_image(case) for case in ordered), *references])
    if predecessor is not None:
        summary.PredecessorDocumentsSequence = evidence_sequence([predecessor])
    summary.update(_content(ordered, latest, said, overall, references)[0])
    return summary


def _envelope(case: Case, texts: Sequence[str]) -> Dataset:
    return envelope(
        case,
        ResultKind.STUDY_SUMMARY,
        sop_class_uid=ComprehensiveSRStorage,
        modality="SR",
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=texts,
    )


def _uid(cases: Sequence[Case]) -> str:
    """The same for the same images and models, however often and in whatever order they are summed up."""
    devices = sorted({device_uid(case.model) for case in cases})
    sources = sorted(case.source.sop_instance_uid for case in cases)
    again = sorted(f"{case.source.sop_instance_uid} {case.generation}" for case in cases if case.generation > 1)
    return derived_uid("summary", cases[0].source.study_instance_uid, *devices, *sources, *again)


def _content(
    cases: Sequence[Case], latest: Case, said: Sequence[list[str]], overall: str, references: Sequence[Reference]
) -> sr.MeasurementReport:
    groups = [measurement_group(case, words, region_source=None) for case, words in zip(cases, said, strict=True)]
    report = measurement_report(latest.model, groups, [case.source for case in cases])
    items = report[0].ContentSequence
    library = next(place for place, item in enumerate(items) if item.name == codes.IMAGE_LIBRARY)
    # Before everything else that is shown: TID 1500 may be extended by words of our own.
    for words in (overall, latest.intended_use):
        items.insert(library, sr.TextContentItem(name=codes.SUMMARY, value=words, relationship_type=CONTAINS))
    items.append(_evaluations(cases, latest.model.label))
    items.extend(_mentions(cases, references))
    return report


def _evaluations(cases: Sequence[Case], label: str) -> sr.ContainerContentItem:
    """TID 1500 row 12. Absent is said only where every image was judged."""
    outcomes = {case.analysis.outcome for case in cases}
    answered = outcomes & {Outcome.POSITIVE, Outcome.NEGATIVE}
    complete, found = outcomes == answered, Outcome.POSITIVE in outcomes
    if found:
        presence = codes.PRESENT
        run = codes.SUCCEEDED_WITH_FINDINGS if complete else codes.NOT_ALL_SUCCEEDED_WITH_FINDINGS
    elif answered:
        presence = codes.ABSENT if complete else codes.UNDETERMINED
        run = codes.SUCCEEDED_WITHOUT_FINDINGS if complete else codes.NOT_ALL_SUCCEEDED_WITHOUT_FINDINGS
    else:
        presence, run = codes.UNDETERMINED, codes.NONE_SUCCEEDED
    container = sr.ContainerContentItem(name=codes.QUALITATIVE_EVALUATIONS, relationship_type=CONTAINS)
    container.ContentSequence = sr.ContentSequence(
        [
            sr.CodeContentItem(name=name, value=value, relationship_type=CONTAINS)
            for name, value in ((codes.finding(label), presence), (codes.PROCESSING_SUMMARY, run))
        ]
    )
    return container


def _mentions(cases: Sequence[Case], references: Sequence[Reference]) -> list[sr.ContentItem]:
    """The pictures and reports among ``references`` as links; the other results stand in the evidence alone."""
    reports = {
        result_uid(case.source.sop_instance_uid, device_uid(case.model), kind, case.generation)
        for case in cases
        for kind in REPORT_KINDS
    }
    links: list[sr.ContentItem] = []
    for reference in references:
        instance = reference.sop_class_uid, reference.sop_instance_uid
        if reference.sop_class_uid == SecondaryCaptureImageStorage:
            links.append(sr.ImageContentItem(codes.GRAD_CAM, *instance, relationship_type=CONTAINS))
        elif reference.sop_instance_uid in reports:
            links.append(sr.CompositeContentItem(codes.SOURCE_REPORT, *instance, relationship_type=CONTAINS))
    return links


def _words(case: Case, place: int, total: int) -> list[str]:
    number = _number(case)
    view = next(iter(views.claims(case.source.dataset)), None)
    numbered = "no instance number" if number == _UNNUMBERED else f"instance number {number}"
    seen = "view unknown" if view is None else f"{view} view"
    title = f"Image {place} of {total} ({numbered}, {seen})"
    return [f"{title}. {result_sentence(case.analysis)}", *remarks(case.analysis)]


def _number(case: Case) -> int:
    """Instance Number of the image."""
    return integer(case.source.dataset, "InstanceNumber", _UNNUMBERED)


def _image(case: Case) -> Reference:
    source = case.source
    return Reference(
        source.study_instance_uid, source.series_instance_uid, source.sop_class_uid, source.sop_instance_uid
    )
