"""The identifier of a C-FIND, C-GET or C-MOVE request, read once (PS3.4 C.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pydicom.dataset import Dataset

from core.errors import FailedForGood
from core.file_header import canonical_uid


class Level(StrEnum):
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


UNIQUE_KEYS = {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID", Level.IMAGE: "SOPInstanceUID"}
_MOST_UIDS = 1000


@dataclass(frozen=True, slots=True)
class Identifier:
    """``uids`` holds one UID for each level above ``level``, and any number for ``level`` itself."""

    level: Level
    uids: dict[Level, tuple[str, ...]]
    dataset: Dataset = field(repr=False)

    @property
    def study_instance_uids(self) -> tuple[str, ...]:
        return self.uids[Level.STUDY]

    def admits(self, level: Level, uid: str) -> bool:
        """Whether an entity of this level is asked for, as far as its own UID says."""
        return not self.uids.get(level) or uid in self.uids[level]


def read_identifier(dataset: Dataset) -> Identifier:
    """Hierarchical, without relational queries (PS3.4 C.4.1.2.1).

    Raises:
        FailedForGood: ``unreadable``, ``level_unknown``, ``unique_key_missing`` or ``uid_invalid``, with the keyword.
    """
    name = "".join(texts(dataset, "QueryRetrieveLevel"))
    if name not in Level.__members__:
        raise FailedForGood("level_unknown", "QueryRetrieveLevel")
    level = Level(name)
    uids: dict[Level, tuple[str, ...]] = {}
    for each, keyword in UNIQUE_KEYS.items():
        uids[each] = uids_of(dataset, keyword)
        if each is level:
            break
        if len(uids[each]) != 1:
            raise FailedForGood("unique_key_missing", keyword)
    return Identifier(level, uids, dataset)


def uids_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """List of UID matching (PS3.4 C.2.2.2.2). UIDs have no wild cards; some send ``*`` where they mean any."""
    values = tuple(value for value in texts(dataset, keyword) if value != "*")
    if len(values) > _MOST_UIDS or any(canonical_uid(value) is None for value in values):
        raise FailedForGood("uid_invalid", keyword)
    return values


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute without padding, and without those that are empty."""
    try:
        value = dataset.get(keyword)
        values = [value] if isinstance(value, str) or value is None else list(value)
        stripped = (str(each).strip(" \0") for each in values if each is not None)
        return tuple(each for each in stripped if each)
    except Exception as exc:
        # Whatever pydicom trips over in a stranger's bytes has this one meaning.
        raise FailedForGood("unreadable", keyword) from exc
