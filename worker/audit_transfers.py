"""Audit messages about images that came, went, or were erased."""

from __future__ import annotations

from dataclasses import replace

from worker import audit_codes as codes
from worker.audit_told import UNKNOWN, Told, study_and_patient
from worker.audit_xml import Message, Outcome, Participant


def received(told: Told) -> Message | None:
    """A.5.3.7"""
    about = told.known.objects.get(told.event.subject)
    if about is None:
        return None
    sender = replace(told.peer(codes.SOURCE), address=about.peer_address)
    us = replace(told.us(codes.DESTINATION), ae_titles=(about.called_ae_title or told.ae_title,))
    return told.message(
        codes.INSTANCES_TRANSFERRED, "C", [sender, us], study_and_patient(about.study, told.instances())
    )


def delivered(outcome: Outcome, told: Told) -> Message | None:
    """A.5.3.7; the receiver may have held them before, which we do not know: action R."""
    about = told.known.objects.get(told.event.subject)
    if about is None or not about.sop_class_uid:
        return None
    name = str(told.event.data.get("destination", UNKNOWN))
    there = Participant(name, False, (codes.DESTINATION,), address=told.hosts.get(name, ""))
    return told.message(
        codes.INSTANCES_TRANSFERRED,
        "R",
        [told.us(codes.SOURCE, is_requestor=True), there],
        study_and_patient(about.study, told.instances()),
        outcome=outcome,
        description=str(told.event.data.get("code", "")),
    )


def retrieved(told: Told) -> Message | None:
    """A.5.3.7; told of one study, since a message may be about one patient alone (``audit_messages``)."""
    data = told.event.data
    studies = [told.known.studies[uid] for uid in data.get("studies", ()) if uid in told.known.studies]
    if not studies:
        return None
    to = str(data.get("to") or told.event.actor)
    moves = to != told.event.actor
    receiver = Participant(to, False, (codes.DESTINATION,), (to,)) if moves else told.peer(codes.DESTINATION)
    others = [told.peer()] if moves else []
    failed = data.get("failed") or data.get("not_sent")
    return told.message(
        codes.INSTANCES_TRANSFERRED,
        "R",
        [told.us(codes.SOURCE), receiver, *others],
        [each for study in studies for each in study_and_patient(study, {})],
        outcome=Outcome.MINOR_FAILURE if failed else Outcome.SUCCESS,
        description=f"{failed} instances did not arrive" if failed else "",
    )


def imported(told: Told) -> Message | None:
    """A.5.3.5"""
    study = told.study
    if study is None:
        return None
    medium = Participant(
        told.event.actor or UNKNOWN,
        False,
        (codes.SOURCE_MEDIA,),
        address=str(told.event.data.get("address") or ""),
        media_type=codes.MEDIA_URI,
    )
    participants = [told.actor(), told.us(codes.DESTINATION), medium]
    return told.message(codes.IMPORT, "C", participants, study_and_patient(study, told.instances()))


def erased(told: Told) -> Message | None:
    """A.5.3.8"""
    study = told.study
    if study is None:
        return None
    return told.message(codes.STUDY_DELETED, "D", [told.actor(), told.us()], study_and_patient(study, {}))
