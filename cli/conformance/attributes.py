"""The attributes of a kind of object, and where their values come from, read off its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_description, dictionary_VR
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag

from cli.conformance.markdown import code, uid_name
from cli.conformance.modules import IOD, AttributePath, Place
from cli.conformance.samples import Sample

CONTENT = "ContentSequence"
Values = tuple[str, ...]
"""Of one attribute in all items of the sequence that it lies in."""

_LONGEST_VALUE = 80
_MOST_CHOICES = 3
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_ITEM, _BYTES = "item", "bytes"
_NUMBERS = ("DS", "FD", "FL")

_BULK = {"PixelData": "pixels", "EncapsulatedDocument": "the document", "LUTData": "the source's table"}
_NOTES_ON_VR = {
    "DA": "start of the analysis",
    "TM": "start of the analysis",
    "DT": "start of the analysis",
    "UI": "derived",
    "SQ": "items below",
}
_NOTES = {
    "InstanceNumber": "how much the document covers",
    "ReferencedSOPClassUID": "of what is referenced",
    "ReferencedSOPInstanceUID": "of what is referenced",
    "SoftwareVersions": "model, version, SHA-256 of the weights",
    "ManufacturerModelName": "name of the model",
    "Manufacturer": "maker of the model",
    "DeviceSerialNumber": "the Device UID",
    "ImageComments": "intended use, result, reasons and warnings",
    "UnformattedTextValue": "intended use, result, reasons and warnings",
    "DerivationDescription": "model and intended use",
    "ContentDescription": "model and finding",
    "SegmentDescription": "what the region is",
    "GraphicData": "the region",
    "NumberOfGraphicPoints": "of the region",
    "DisplayedAreaBottomRightHandCorner": "columns and rows of the source",
    "PresentationPixelSpacing": "Pixel Spacing or Imager Pixel Spacing of the source",
    "Rows": "of the picture",
    "Columns": "of the picture",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    place: Place
    path: AttributePath
    presence: str
    origin: str
    value: str

    @property
    def row(self) -> tuple[str, tuple[str, ...]]:
        """The same for attributes that two IODs have alike in modules of one name."""
        return self.place.module, self.cells

    @property
    def cells(self) -> tuple[str, ...]:
        keyword = self.path[-1]
        tag = _tag(keyword)
        return (
            f"{'>' * (len(self.path) - 1)}{dictionary_description(keyword)}",
            f"({tag.group:04X},{tag.element:04X})",
            dictionary_VR(keyword),
            self.place.type or "-",
            self.presence,
            self.origin,
            self.value,
        )


def attributes(samples: Sequence[Sample]) -> list[Attribute]:
    """In the order of the IOD's modules, in each in the order of tags. The content of SR documents is left out."""
    iod = IOD(str(samples[0].dataset.SOPClassUID))
    each = [_values(sample.dataset) for sample in samples]
    paths = sorted({path for leaves in each for path in leaves}, key=_by_tag)
    found = [
        _attribute(iod.place(path), path, [leaves.get(path) for leaves in each], samples)
        for path in paths
        if path[0] != CONTENT
    ]
    return sorted(found, key=lambda attribute: iod.order(attribute.place.module))  # stable: tags stay in order


def _attribute(
    place: Place, path: AttributePath, values: Sequence[Values | None], samples: Sequence[Sample]
) -> Attribute:
    said = [(value, sample.source) for value, sample in zip(values, samples, strict=True) if value is not None]
    distinct = {value for value, _ in said}
    presence = _presence(said, len(samples))
    if presence == "EMPTY":
        return Attribute(place, path, presence, "", "")
    if path[-1] in _BULK:
        return Attribute(place, path, presence, "generated", _BULK[path[-1]])
    from_source = all(_is_from(value, path[-1], source) for value, source in said)
    if from_source and (len(distinct) > 1 or presence == "ANAP"):
        return Attribute(place, path, presence, "source", "")
    if len(distinct) == 1 and distinct != {(_ITEM,)}:
        return Attribute(place, path, presence, "fixed", _shown(said[0][0]))
    vr = dictionary_VR(path[-1])
    if vr in ("CS", "SQ") and len(distinct) <= _MOST_CHOICES and not any(_ITEM in value for value in distinct):
        return Attribute(place, path, presence, "generated", " or ".join(sorted(map(_shown, distinct))))
    return Attribute(place, path, presence, "generated", _NOTES.get(path[-1], _NOTES_ON_VR.get(vr, "")))


def _presence(said: Sequence[tuple[Values, Dataset]], samples: int) -> str:
    """The terms of PS3.2 for created objects."""
    filled = [any(value) for value, _ in said]
    if not any(filled):
        return "EMPTY"
    if len(said) < samples:
        return "ANAP"
    return "ALWAYS" if all(filled) else "VNAP"


def _is_from(value: Values, keyword: str, source: Dataset) -> bool:
    """Whether it is what an attribute of this name has in the source, or names the source."""
    own = {values for path, values in _values(source).items() if path[-1] == keyword}
    if value in own or (not any(value) and not any(map(any, own))):
        return True
    uids = {str(element.value) for element in source if element.VR == "UI"}
    return dictionary_VR(keyword) == "UI" and set(value) <= uids


def _values(dataset: Dataset) -> dict[AttributePath, Values]:
    return {path: tuple(values) for path, values in _leaves(dataset).items()}


def _leaves(dataset: Dataset, above: AttributePath = ()) -> dict[AttributePath, list[str]]:
    """Path to the values of all items; of a sequence of codes the codes, of another one an empty text per item."""
    found: dict[AttributePath, list[str]] = {}
    for element in dataset:
        path = (*above, element.keyword)
        if element.VR != "SQ":
            found.setdefault(path, []).append(_text(dataset, element.keyword))
            continue
        items = list(element.value)
        if items and all(keyword in item for item in items for keyword in _CODE):
            found.setdefault(path, []).extend(_coded(item) for item in items)
            for item in items:
                _extend(found, _leaves(_without_code(item), path))
            continue
        found.setdefault(path, []).extend(_ITEM for _ in items)
        for item in items if element.keyword != CONTENT else ():
            _extend(found, _leaves(item, path))
    return found


def _extend(found: dict[AttributePath, list[str]], more: dict[AttributePath, list[str]]) -> None:
    for path, values in more.items():
        found.setdefault(path, []).extend(values)


def _without_code(item: Dataset) -> Dataset:
    rest = Dataset()
    rest.update({element.tag: element for element in item if element.keyword not in _CODE})
    return rest


def _coded(item: Dataset) -> str:
    return code(Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning))


def _text(dataset: Dataset, keyword: str) -> str:
    element = dataset.get(keyword)
    if element is None:
        return ""
    if isinstance(element, bytes):
        return _BYTES
    several = list(element) if isinstance(element, MultiValue | list) else [element]
    if dictionary_VR(keyword) in _NUMBERS:
        return "\\".join("" if value in ("", None) else f"{float(value):.6g}" for value in several)
    return "\\".join(map(str, several))


def _shown(values: Values) -> str:
    shown = ", ".join(dict.fromkeys(uid_name(value) if value.startswith("1.2.840") else value for value in values))
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 1]}…"


def _by_tag(path: AttributePath) -> tuple[BaseTag, ...]:
    return tuple(map(_tag, path))


def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def modules(found: Sequence[Attribute]) -> Iterator[tuple[Place, list[Attribute]]]:
    """Attributes by module; those outside of the IOD come last, under a place without a module."""
    grouped: dict[str, list[Attribute]] = {}
    for attribute in found:
        grouped.setdefault(attribute.place.module, []).append(attribute)
    for group in grouped.values():
        yield group[0].place, group
