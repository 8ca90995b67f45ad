"""What is told in one DICOM audit message: events, who took part in them, and the study they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from audit.witnessed import Event, OfStudy, Witnessed
from worker import audit_codes as codes
from worker.audit_xml import Coded, Message, Object, Outcome, Participant

PERSON, SYSTEM_OBJECT = 1, 2
PATIENT, REPORT, SECURITY_RESOURCE, QUERY = 1, 3, 13, 24
"""Roles of objects, PS3.15 A.5.1.2.2."""
UNKNOWN = "unknown"
AUDIT_LOG = "Security Audit Log"  # PS3.15 A.5.3.2
_US = "pneumo"


@dataclass(frozen=True, slots=True)
class Told:
    """One or more events of a kind that are one message, and what is known around them."""

    events: Sequence[Event]
    known: Witnessed
    ae_title: str
    hosts: Mapping[str, str]
    """Where destinations are, by name."""

    @property
    def event(self) -> Event:
        """The last one: a transfer is told of when it is over (PS3.15 A.5.3.7)."""
        return self.events[-1]

    @property
    def study(self) -> OfStudy | None:
        about = self.known.objects.get(self.event.subject)
        return about.study if about is not None else self.known.studies.get(self.event.subject)

    def us(self, *roles: Coded, is_requestor: bool = False) -> Participant:
        return Participant(_US, is_requestor, roles, (self.ae_title,), name=_US)

    def actor(self, *roles: Coded, is_requestor: bool = True) -> Participant:
        """Whoever caused it, a person with a key or another application entity."""
        event = self.event
        return Participant(event.actor or UNKNOWN, is_requestor, roles, address=str(event.data.get("address") or ""))

    def peer(self, *roles: Coded, is_requestor: bool = True) -> Participant:
        title = self.event.actor or UNKNOWN
        return replace(self.actor(*roles, is_requestor=is_requestor), ae_titles=(title,))

    def details(self) -> str:
        """The data of the event in words, as far as they are not told elsewhere."""
        told = {key: value for key, value in self.event.data.items() if key not in ("route", "address")}
        return ", ".join(f"{key}={value}" for key, value in sorted(told.items()) if value not in ("", None))

    def instances(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for event in self.events:
            if (about := self.known.objects.get(event.subject)) is not None:
                counts[about.sop_class_uid] = counts.get(about.sop_class_uid, 0) + 1
        return counts

    def message(
        self,
        event: Coded,
        action: str,
        participants: Sequence[Participant],
        objects: Sequence[Object] = (),
        *types: Coded,
        outcome: Outcome = Outcome.SUCCESS,
        description: str = "",
    ) -> Message:
        return Message(
            event,
            (*types, codes.kind_of_event(self.event.kind)),
            action,
            self.event.at,
            tuple(participants),
            (*objects, self._rows()),
            outcome,
            description,
        )

    def _rows(self) -> Object:
        """The rows of the audit log with their hashes: whoever keeps the message is a witness of the chain."""
        hashes = {str(event.id): bytes.fromhex(event.hash) for event in self.events}
        about = str(self.event.id)
        return Object(about, codes.AUDIT_EVENT_ID, SYSTEM_OBJECT, SECURITY_RESOURCE, AUDIT_LOG, details=hashes)


def study_and_patient(study: OfStudy, instances: Mapping[str, int]) -> list[Object]:
    """A study whose patient is unknown or erased comes alone."""
    found = [
        Object(
            study.study_instance_uid,
            codes.STUDY_INSTANCE_UID,
            SYSTEM_OBJECT,
            REPORT,
            accession_number=study.accession_number,
            instances=instances,
        )
    ]
    if study.patient_id:
        issuer = study.issuer_of_patient_id
        patient_id = f"{study.patient_id}^^^{issuer}" if issuer else study.patient_id  # HL7 CX
        found.append(Object(patient_id, codes.PATIENT_NUMBER, PERSON, PATIENT))
    return found
