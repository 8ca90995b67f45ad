"""Statuses that we answer, and what the statuses of others mean to us, from the code that does it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from cli.conformance.markdown import remarks, status, table
from pacs_listener import admission, statuses
from pacs_listener.admission import Refusal
from worker.answers import Refused, read_status
from worker.dicom_archive import _ARCHIVE_TROUBLE


def answered() -> str:
    """C-STORE responses of the listener."""
    meanings = remarks(statuses)
    values = {name: value for name, value in vars(statuses).items() if name in meanings}
    return table(
        ("Status", "Name", "When"),
        ((status(value), name.replace("_", " ").capitalize(), meanings[name]) for name, value in values.items()),
    )


def rejections() -> str:
    """A-ASSOCIATE-RJ of the listener."""
    refusals = [value for value in vars(admission).values() if isinstance(value, Refusal)]
    return table(
        ("Cause", "Result", "Source", "Reason"),
        ((each.cause.replace("_", " "), each.result, each.source, each.diagnostic) for each in refusals),
    )


def taken_as() -> str:
    """C-STORE responses of a destination: each of the 65,536 statuses is asked for its fate."""
    fates: dict[str, list[int]] = {}
    for value in range(0x10000):
        fates.setdefault(_fate(value), []).append(value)
    usual = max(fates, key=lambda fate: len(fates[fate]))
    rows = [(_ranges(values), fate) for fate, values in fates.items() if fate != usual]
    return table(("Status", "Taken as"), [*rows, ("any other", usual), ("no answer", _fate(None))])


def of_archives() -> str:
    """C-FIND, C-MOVE and C-GET responses of an archive other than success, pending and sub-operations that failed."""
    codes = [(status(value), f"`{code}`: the archive is asked again later") for value, code in _ARCHIVE_TROUBLE.items()]
    return table(("Status", "Taken as"), [*codes, ("any other failure", "the study or the query has failed for good")])


def _fate(value: int | None) -> str:
    answer = read_status(value)
    if not isinstance(answer, Refused):
        return "stored: `sent`"
    return f"`{answer.code}`: " + ("not sent again" if answer.permanent else "sent again later")


def _ranges(values: list[int]) -> str:
    return ", ".join(_runs(values))


def _runs(values: list[int]) -> Iterator[str]:
    for _, group in groupby(enumerate(values), lambda pair: pair[1] - pair[0]):
        run = [value for _, value in group]
        yield status(run[0]) if len(run) == 1 else f"{status(run[0])} to {status(run[-1])}"
