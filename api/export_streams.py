"""Lists of any size as a stream: read page after page in short transactions, so that memory and locks stay small."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import anyio
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.types import Send

from api.masking import for_caller
from api.security import Caller
from audit.events import record_event
from audit.listing import Page, PageKey, Sort
from audit.session import Database

_AT_ONCE = 500
# What a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Row = TypeVar("Row")


class ExportFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def media_type(self) -> str:
        return "text/csv" if self is ExportFormat.CSV else "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """What is exported: how to find a page of it, and what a row of it becomes."""

    name: str
    document: type[BaseModel]
    find: Callable[[Session, Page], Sequence[Row]]
    key: Callable[[Row], PageKey]
    show: Callable[[Session, Sequence[Row]], list[BaseModel]]

    def chunks(self, database: Database, sort: Sort) -> Iterator[list[BaseModel]]:
        after: PageKey | None = None
        while True:
            with database.read() as session:
                rows = self.find(session, Page(_AT_ONCE, sort, after))
                shown = self.show(session, rows)
            if shown:
                yield shown
            if len(rows) < _AT_ONCE:
                return
            after = self.key(rows[-1])


class Export(StreamingResponse):
    """One event at the end says how many rows went out, also where the client has hung up before."""

    def __init__(
        self,
        database: Database,
        caller: Caller,
        listing: Listing[Any],
        *,
        export_format: ExportFormat,
        sort: Sort,
        filters: dict[str, object],
    ) -> None:
        self._database, self._caller, self._listing = database, caller, listing
        self._format, self._filters = export_format, filters
        self._rows, self._recorded = 0, False
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"pneumo-{listing.name}-{at}.{export_format}"
        super().__init__(
            self._lines(sort),
            media_type=export_format.media_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _lines(self, sort: Sort) -> Iterator[bytes]:
        if self._format is ExportFormat.CSV:
            yield _csv_lines([self._listing.document.model_fields])
        for documents in self._listing.chunks(self._database, sort):
            shown = [for_caller(document, self._caller) for document in documents]
            self._rows += len(shown)
            yield _csv_lines(_cells(each) for each in shown) if self._format is ExportFormat.CSV else _ndjson(shown)
        self._record(whole=True)  # before the stream ends: what is not on record was cut short

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            if not self._recorded:
                with anyio.CancelScope(shield=True):  # a client that hangs up cancels us
                    await run_in_threadpool(self._record, whole=False)

    def _record(self, *, whole: bool) -> None:
        self._recorded = True
        with self._database.write() as session:
            record_event(
                session,
                "api.exported",
                actor=self._caller.name,
                route=self._caller.route,
                address=self._caller.address,
                format=self._format,
                filters=self._filters,
                rows=self._rows,
                whole=whole,
            )


def _ndjson(documents: Iterable[BaseModel]) -> bytes:
    return "".join(f"{document.model_dump_json()}\n" for document in documents).encode()


def _csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cells(document: BaseModel) -> list[object]:
    return [_cell(value) for value in document.model_dump(mode="json").values()]


def _cell(value: object) -> object:
    """Lists and what has parts as JSON, but for lists of words, which a spreadsheet can search."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    elif isinstance(value, list | dict):
        value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
