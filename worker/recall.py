"""Rejection notes: what tells an archive that results it has are withdrawn (IHE RAD IOCM)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydicom.sr.coding import Code

from audit.recalls import Recall
from audit.rejections import WithdrawnStudy, keep_note, send_known_note, withdrawn_study
from audit.session import Database
from core.destinations import DICOMDestination, DICOMwebDestination, FolderDestination
from core.errors import FailedForGood
from core.logs import describe, get_logger
from core.records import ResultKind
from core.settings import Settings
from core.spool import Spool
from dicom.case import Case
from dicom.evidence import Reference
from dicom.key_objects import rejection_note
from dicom.reading import read_source
from worker.results import built, stored

log = get_logger("recall")

_TAKES_OBJECTS = (DICOMDestination, DICOMwebDestination, FolderDestination)


class Fate(StrEnum):
    NEW = "new"
    KNOWN = "known"
    UNREACHABLE = "unreachable"
    """Every destination that has its results is gone from the configuration."""
    FAILED = "failed"
    """None of its images can be read."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """What became of one study's note."""

    fate: Fate
    destinations: Sequence[str] = ()
    """Where it is due now."""
    unreachable: Sequence[str] = ()
    """Destinations that have results and are gone from the configuration."""


class RejectionNotes:
    """Notes under one document title. The same results withdrawn again are the same note, which goes nowhere twice."""

    def __init__(self, settings: Settings, database: Database, spool: Spool, title: Code, actor: str) -> None:
        self._settings, self._database, self._spool = settings, database, spool
        self._title, self._actor = title, actor

    def send(self, recall: Recall, study_id: int) -> Rejected | None:
        """A note about a study's recalled results for each destination that took any; None where none did."""
        with self._database.read() as session:
            study = withdrawn_study(session, recall, study_id)
        if study is None:
            return None
        configured = {each.name for each in self._settings.destinations if isinstance(each, _TAKES_OBJECTS)}
        names, unreachable = sorted(study.destinations & configured), sorted(study.destinations - configured)
        if not names:
            return Rejected(Fate.UNREACHABLE, unreachable=unreachable)
        case = self._case(study)
        if case is None:
            return Rejected(Fate.FAILED, unreachable=unreachable)
        references = [Reference(case.source.study_instance_uid, *each) for each in study.results]
        result = built(ResultKind.REJECTION_NOTE, rejection_note(case, references, title=self._title))
        with self._database.write() as session:
            further = send_known_note(session, study, result.sop_instance_uid, names, self._actor)
        if further is not None:
            return Rejected(Fate.KNOWN, further, unreachable)
        note = stored(result, self._spool)
        with self._database.write() as session:
            kept = keep_note(session, study, note, names, self._actor)
        if not kept:
            self._spool.release(note.spool_name)
            return Rejected(Fate.KNOWN, unreachable=unreachable)
        return Rejected(Fate.NEW, names, unreachable)

    def _case(self, study: WithdrawnStudy) -> Case | None:
        """Of the first image that can be read: patient and study are the same for all of them."""
        for image in study.images:
            try:
                with self._spool.open(image.spool_name) as file:
                    source = read_source(file)
            except (FailedForGood, OSError) as exc:
                log.warning("image_unreadable", study_instance_uid=study.study_instance_uid, **describe(exc))
                continue
            return Case(source, image.analysis, study.model, self._settings.intended_use, study.recalled_at)
        return None
