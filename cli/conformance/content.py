"""The content of our SR documents as a tree, over all outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.sr.coding import Code

from cli.conformance.markdown import code, uid_name
from cli.conformance.samples import Sample
from core.records import Outcome

_MOST_CODES = 6
_Key = tuple[str, str, str]
"""Relationship, value type and concept name."""


@dataclass(slots=True)
class Item:
    outcomes: set[Outcome] = field(default_factory=set)
    values: dict[str, None] = field(default_factory=dict)
    """In the order in which they were met."""
    items: dict[_Key, Item] = field(default_factory=dict)


def tree(samples: Sequence[Sample]) -> Iterator[tuple[str, ...]]:
    """Nesting and relationship, value type, concept, value, outcomes: a row for each kind of item."""
    root = Item()
    for sample in samples:
        _add(root, sample.dataset, sample.outcome)
    made_for = {sample.outcome for sample in samples}
    yield from _rows(root, made_for, "")


def _add(parent: Item, container: Dataset, outcome: Outcome) -> None:
    for dataset in container.get("ContentSequence") or ():
        item = parent.items.setdefault(_key(dataset), Item())
        item.outcomes.add(outcome)
        if value := _value(dataset):
            item.values[value] = None
        _add(item, dataset, outcome)


def _key(dataset: Dataset) -> _Key:
    concepts = dataset.get("ConceptNameCodeSequence") or ()
    return dataset.RelationshipType, dataset.ValueType, _coded(concepts[0]) if concepts else "none"


def _rows(parent: Item, made_for: set[Outcome], nesting: str) -> Iterator[tuple[str, ...]]:
    for (relationship, value_type, concept), item in parent.items.items():
        shown = [*item.values][:_MOST_CODES]
        yield (
            f"{nesting}{relationship}",
            value_type,
            concept,
            " or ".join(shown),
            "all" if item.outcomes == made_for else ", ".join(each for each in Outcome if each in item.outcomes),
        )
        yield from _rows(item, made_for, f"{nesting}>")


def _value(dataset: Dataset) -> str:
    match dataset.ValueType:
        case "CODE":
            return _coded(dataset.ConceptCodeSequence[0])
        case "NUM":
            return f"in {_coded(dataset.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0])}"
        case "TEXT":
            return "words"
        case "UIDREF":
            return "derived"
        case "SCOORD":
            return str(dataset.GraphicType)
        case "CONTAINER":
            templates = dataset.get("ContentTemplateSequence") or ()
            return f"TID {templates[0].TemplateIdentifier}" if templates else ""
        case "IMAGE" | "COMPOSITE":
            return uid_name(str(dataset.ReferencedSOPSequence[0].ReferencedSOPClassUID))
    return ""


def _coded(item: Dataset) -> str:
    return code(Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning))
