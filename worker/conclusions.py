"""Results about a study as a whole: a summary of several images, key objects that tie its results together."""

from __future__ import annotations

from collections.abc import Iterator

from audit.session import Database
from audit.study_results import ReportedImage, ReportedStudy, conclude_study, studies_to_conclude
from core.errors import FailedForGood
from core.logs import describe, get_logger
from core.records import MESSAGE_KINDS, STUDY_KINDS, ResultKind, ResultObject
from core.settings import Settings
from core.spool import Spool
from dicom import key_objects, study_summary
from dicom.case import Case
from dicom.evidence import Reference
from dicom.reading import read_source
from worker.results import BuiltResult, built, stored

log = get_logger("conclusions")

_AT_ONCE = 20
_SEVERAL = 2
_KEY_OBJECTS = "What the AI found in this study"


def conclude(settings: Settings, database: Database, spool: Spool) -> int:
    """Make what is wanted about some of the reported studies; returns how many studies that were."""
    with database.read() as session:
        studies = studies_to_conclude(session, _AT_ONCE)
    for study in studies:
        try:
            results = [(stored(result, spool), names) for result, names in _results(study, settings, spool)]
        except Exception as exc:  # noqa: BLE001 - one study must not keep all others from their conclusion
            log.error("conclusion_failed", study_instance_uid=study.study_instance_uid, **describe(exc))
            with database.write() as session:
                conclude_study(session, study, (), error=type(exc).__name__)
            continue
        with database.write() as session:
            kept = conclude_study(session, study, results)
        if kept:
            log.info("study_concluded", study_instance_uid=study.study_instance_uid, results=len(results))
        else:
            for result, _ in results:
                spool.release(result.spool_name)
    return len(studies)


def _results(study: ReportedStudy, settings: Settings, spool: Spool) -> Iterator[tuple[BuiltResult, list[str]]]:
    cases = [case for image in study.images if (case := _case(image, settings, spool)) is not None]
    summary_for, key_objects_for = (_takers(study, settings, kind) for kind in STUDY_KINDS)
    if summary_for and len(cases) >= _SEVERAL:
        summaries = [each for each in study.earlier if each.kind is ResultKind.STUDY_SUMMARY]
        document = study_summary.build(
            cases,
            references=_references(study, settings, summary_for),
            predecessor=_reference(study, summaries[-1]) if summaries else None,
        )
        yield built(ResultKind.STUDY_SUMMARY, document), summary_for
    if key_objects_for and cases and (references := _references(study, settings, key_objects_for)):
        document = key_objects.build(cases[0], references, description=_KEY_OBJECTS)
        yield built(ResultKind.KEY_OBJECTS, document), key_objects_for


def _case(image: ReportedImage, settings: Settings, spool: Spool) -> Case | None:
    try:
        with spool.open(image.spool_name) as file:
            source = read_source(file)
    except FailedForGood:
        return None  # an image nobody can read has no report that could be summed up
    return Case(
        source, image.analysis, image.model, settings.intended_use, image.analysed_at, generation=image.generation
    )


def _takers(study: ReportedStudy, settings: Settings, kind: ResultKind) -> list[str]:
    """Of the destinations that the study's images were routed to."""
    reached = {name for image in study.images for name in image.destinations}
    return [each.name for each in settings.destinations if each.name in reached and kind in each.objects]


def _references(study: ReportedStudy, settings: Settings, names: list[str]) -> list[Reference]:
    """What every one of these destinations gets: a reference to what a PACS never received opens nothing."""
    everywhere = set(ResultKind) - set(MESSAGE_KINDS)
    for destination in settings.destinations:
        if destination.name in names:
            everywhere &= set(destination.objects)
    return [
        _reference(study, result)
        for image in study.images
        for result in image.results
        if result.kind in everywhere and image.destinations.issuperset(names)
    ]


def _reference(study: ReportedStudy, result: ResultObject) -> Reference:
    return Reference(
        study.study_instance_uid, result.series_instance_uid, result.sop_class_uid, result.sop_instance_uid
    )
