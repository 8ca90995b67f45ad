"""Which audit events an outside repository is told of, and as which DICOM audit message (PS3.15 A.5.3).

``WITNESSED`` is the whole list: a kind that is not in it stays in the audit log alone. Among those left out are the
outcomes of images, which say nothing of who saw or moved a patient's data, and results that are messages (HL7,
webhooks), for which the standard has no audit message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby

from audit.witnessed import Event, Witnessed
from core.settings import Settings
from worker import audit_accesses, audit_security, audit_transfers
from worker import audit_codes as codes
from worker.audit_told import Told
from worker.audit_xml import Message, Outcome

_LONGEST_GROUP = 100
"""Events told in one message: receivers need not take more than 32 KiB (IHE ITI TF-2 3.20.4.1.2)."""

Builder = Callable[[Told], Message | None]

WITNESSED: Mapping[str, Builder] = {
    "application.started": partial(audit_security.application, codes.APPLICATION_START),
    "application.stopped": partial(audit_security.application, codes.APPLICATION_STOP),
    "instance.received": audit_transfers.received,
    "upload.received": audit_transfers.imported,
    "delivery.sent": partial(audit_transfers.delivered, Outcome.SUCCESS),
    "delivery.dead": partial(audit_transfers.delivered, Outcome.SERIOUS_FAILURE),
    "instances.retrieved": audit_transfers.retrieved,
    "query.answered": audit_accesses.queried,
    "api.read": audit_accesses.read,
    "api.exported": audit_accesses.exported,
    "prediction.served": audit_accesses.read,
    "study.erased": audit_transfers.erased,
    "association.refused": partial(audit_security.alert, codes.NODE_AUTHENTICATION, Outcome.MINOR_FAILURE),
    "instance.refused": audit_security.instance_refused,
    "api.refused": audit_security.api_refused,
    "key.created": partial(audit_security.alert, codes.USER_SECURITY_ATTRIBUTES_CHANGED, Outcome.SUCCESS),
    "key.revoked": partial(audit_security.alert, codes.USER_SECURITY_ATTRIBUTES_CHANGED, Outcome.SUCCESS),
    "model.activated": partial(audit_security.alert, codes.SOFTWARE_CONFIGURATION, Outcome.SUCCESS),
    "model.recalled": partial(audit_security.alert, codes.SOFTWARE_CONFIGURATION, Outcome.SUCCESS),
    "chain.broken": partial(audit_security.alert, codes.OBJECT_SECURITY_ATTRIBUTES_CHANGED, Outcome.MAJOR_FAILURE),
    "session.started": partial(audit_security.authentication, codes.LOGIN, Outcome.SUCCESS),
    "session.ended": partial(audit_security.authentication, codes.LOGOUT, Outcome.SUCCESS),
    "session.refused": partial(audit_security.authentication, codes.LOGIN, Outcome.MINOR_FAILURE),
}


def messages_of(known: Witnessed, settings: Settings) -> Iterator[Message]:
    """In the order of the events. Transfers of the same study between the same two that follow each other are one."""
    hosts = {each.name: getattr(each, "host", "") for each in settings.destinations}
    for _, group in groupby(known.events, partial(_transfer, known)):
        events = list(group)
        for start in range(0, len(events), _LONGEST_GROUP):
            told = Told(events[start : start + _LONGEST_GROUP], known, settings.listener.ae_title, hosts)
            for part in _patients_apart(told):
                message = WITNESSED[told.event.kind](part)
                if message is not None:
                    yield message


def _transfer(known: Witnessed, event: Event) -> tuple[str | int, ...]:
    """The same for events that are one transfer."""
    about = known.objects.get(event.subject)
    if about is None or event.kind not in ("instance.received", "delivery.sent"):
        return (event.id,)
    there = str(event.data.get("destination", ""))
    return (
        event.kind,
        event.actor,
        there,
        about.study.study_instance_uid,
        about.peer_address,
        about.sop_class_uid == "",
    )


def _patients_apart(told: Told) -> Iterator[Told]:
    """A.5.3.7: a message is about one patient, and one retrieval may be about several."""
    if told.event.kind != "instances.retrieved":
        yield told
        return
    for uid in told.event.data.get("studies", ()):
        yield replace(told, events=[replace(told.event, data={**told.event.data, "studies": [uid]})])
