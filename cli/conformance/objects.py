"""Annex A of the Conformance Statement: the objects we create (PS3.3), attribute by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cli.conformance.attributes import Attribute, attributes, modules
from cli.conformance.content import tree
from cli.conformance.markdown import table, text, uid_name
from cli.conformance.samples import Sample
from core.records import REPORT_KINDS, Outcome, ResultKind

_HEADER = ("Attribute", "Tag", "VR", "Type", "Presence", "Origin", "Value")
_CONTENT_HEADER = ("Relationship", "Value type", "Concept name", "Value", "Outcomes")
_ROLES = {
    ResultKind.SECONDARY_CAPTURE: "the radiograph with the heat map and the result burned in",
    ResultKind.REPORT: "the report, TID 1500",
    ResultKind.REPORT_3D: "the same report in the SOP class that IHE AIR asks for",
    ResultKind.REPORT_STONE: "the same report for Orthanc's Stone viewer, which wants another source concept",
    ResultKind.PRESENTATION_STATE: "region and words over the original image",
    ResultKind.SEGMENTATION: "the region as a mask",
    ResultKind.ENCAPSULATED_PDF: "the report as a page to print",
    ResultKind.STUDY_SUMMARY: "what the images of a study say together, TID 1500",
    ResultKind.KEY_OBJECTS: "ties the results of a study together, TID 2010",
    ResultKind.REJECTION_NOTE: "withdraws results, TID 2010 (IHE IOCM)",
}


def created(objects: Mapping[ResultKind, Sequence[Sample]]) -> str:
    """A row for each kind of object."""
    return table(
        ("Kind", "SOP class", "UID", "Series Number", "What it is", "Made for"),
        (
            (
                f"`{kind}`",
                uid_name(sop_class(samples)),
                f"`{sop_class(samples)}`",
                samples[0].dataset.SeriesNumber,
                _ROLES[kind],
                _outcomes(samples),
            )
            for kind, samples in objects.items()
        ),
    )


def sop_class(samples: Sequence[Sample]) -> str:
    return str(samples[0].dataset.SOPClassUID)


def _outcomes(samples: Sequence[Sample]) -> str:
    outcomes = {sample.outcome for sample in samples}
    return "every outcome" if outcomes == set(Outcome) else ", ".join(each for each in Outcome if each in outcomes)


def annex(objects: Mapping[ResultKind, Sequence[Sample]]) -> str:
    found = {kind: attributes(samples) for kind, samples in objects.items()}
    shared = _shared(list(found.values()))
    parts = [
        _INTRODUCTION,
        "### A.1 Attributes that all objects share",
        *_tables([attribute for attribute in next(iter(found.values())) if attribute.row in shared]),
    ]
    for number, (kind, samples) in enumerate(objects.items(), start=2):
        parts += [
            f"### A.{number} {uid_name(sop_class(samples))}: `{kind}`",
            f"{_ROLES[kind][0].upper()}{_ROLES[kind][1:]}. Made for: {_outcomes(samples)}.",
        ]
        known, content = shared, list(tree(samples))
        if kind in REPORT_KINDS[1:]:
            parts.append(f"As `{REPORT_KINDS[0]}`, except for:")
            known = {attribute.row for attribute in found[REPORT_KINDS[0]]}
            content = [row for row in content if row not in set(tree(objects[REPORT_KINDS[0]]))]
        parts += _tables([attribute for attribute in found[kind] if attribute.row not in known])
        if content:
            parts += ["Content tree:", table(_CONTENT_HEADER, content)]
    parts += [f"### A.{len(objects) + 2} Private attributes and SOP classes", _extensions(objects, found)]
    return "\n\n".join(parts)


_INTRODUCTION = text("""
    This annex is read off objects that the code builds, from six synthetic radiographs and analyses that differ in
    patient, study, equipment, model, time and outcome.

    - Presence, as in PS3.2: ALWAYS with a value; VNAP, the value is not always present; ANAP, the attribute is not
      always present; EMPTY.
    - Origin: `source`, equal to the attribute of the received image (or naming it); `fixed`, the same in every object;
      `generated`, everything else. UIDs are "derived": `2.25.` and a UUID of version 5 over the UIDs of the source, the
      model's Device UID and the kind of object, so that an analysis that is repeated makes the same SOP Instance.
    - Type: of the attribute in its module; - where the module's table does not list it at this place.

    Where `api.public_url` is set, positive and negative answers name the address of the page on which a reader, once
    signed in, says whether they are right: in the content item (110037, DCM, "URI") and the words before it, in the
    last line of Image Comments, and in the picture and the page themselves. It ends in the SOP Instance UID of the
    source.

    An attribute of the source that breaks its VR or its enumerated values is written empty where it is Type 2 and left
    out where it is Type 3; an illegal Patient ID is never repaired.
""")


def _shared(found: Sequence[Sequence[Attribute]]) -> set[tuple[str, tuple[str, ...]]]:
    """Rows of modules that every object has, in an order of their own in each."""
    rows = [{attribute.row for attribute in each if attribute.place.module} for each in found]
    return rows[0].intersection(*rows[1:])


def _tables(found: Sequence[Attribute]) -> Iterator[str]:
    for place, group in modules(found):
        yield f"**{place.module}**" if place.module else "**Outside of the IOD's modules**"
        yield table(_HEADER, (attribute.cells for attribute in group))


def _extensions(objects: Mapping[ResultKind, Sequence[Sample]], found: Mapping[ResultKind, Sequence[Attribute]]) -> str:
    private = sum(
        element.tag.is_private for samples in objects.values() for each in samples for element in each.dataset.iterall()
    )
    outside = sorted(
        {
            f"{attribute.cells[0]} in `{kind}`"
            for kind, attributes_ in found.items()
            for attribute in attributes_
            if not attribute.place.module
        }
    )
    return "\n".join(
        (
            f"- Private attributes: {private or 'none'}.",
            "- Private and specialised SOP classes, private transfer syntaxes, private codes: none.",
            f"- Attributes outside of the IOD, which make it a Standard Extended SOP class: "
            f"{', '.join(outside) or 'none'}.",
        )
    )
