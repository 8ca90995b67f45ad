"""Modules of an IOD and Types of their attributes (PS3.3), as the tables that come with highdicom have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

AttributePath = tuple[str, ...]
"""Keywords of the sequences that an attribute lies in, then its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """``module``: empty for an attribute that the IOD does not have. ``type``: 1, 1C, 2, 2C, 3; empty if unknown."""

    ie: str
    module: str
    usage: str
    type: str


_OUTSIDE = Place("", "", "", "")
_ABBREVIATIONS = {"sop": "SOP", "sr": "SR", "sc": "SC", "voi": "VOI", "lut": "LUT", "dx": "DX", "icc": "ICC"}


class IOD:
    def __init__(self, sop_class_uid: str) -> None:
        """Raises KeyError where the SOP class has no IOD in the tables."""
        self._modules: list[dict[str, str]] = _read("iod_module_map")[_read("sop_class_iod_map")[sop_class_uid]]
        self._types: list[dict[AttributePath, str]] = [_attributes(module["key"]) for module in self._modules]

    def place(self, path: AttributePath) -> Place:
        """Of the first module that has the outermost attribute; what lies deeper belongs to the same one."""
        for module, types in zip(self._modules, self._types, strict=True):
            if path[:1] in types:
                return Place(module["ie"], _title(module["key"]), module["usage"], types.get(path, ""))
        return _OUTSIDE

    def order(self, module: str) -> int:
        titles = [_title(each["key"]) for each in self._modules]
        return titles.index(module) if module in titles else len(titles)


def _title(key: str) -> str:
    return " ".join(_ABBREVIATIONS.get(word, word.capitalize()) for word in key.split("-"))


@cache
def _attributes(module: str) -> dict[AttributePath, str]:
    return {(*entry["path"], entry["keyword"]): entry["type"] for entry in _read("module_attribute_map")[module]}


@cache
def _read(name: str) -> Any:
    # Data only: highdicom itself stays in `dicom`.
    file = Path(str(distribution("highdicom").locate_file(f"highdicom/_standard/{name}.json")))
    return json.loads(file.read_text(encoding="utf-8"))
