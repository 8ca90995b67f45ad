"""The query parameters. One that is not known is refused: a misspelt filter must not answer with everybody's images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.cursors import decode_cursor, decode_place, encode_place
from api.problems import Code, Refusal
from api.security import Caller
from audit.listing import Page, PageKey, Sort
from core.scopes import Scope

_Row = TypeVar("_Row")


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("the moment lies outside the calendar") from exc


Moment = Annotated[datetime, AfterValidator(_utc)]
"""ISO 8601, a date or a date and time; UTC where no zone is given."""
Word = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]  # PostgreSQL's text holds no NUL
UID = Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]  # PS3.5 9.1
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]


def _ours(cursor: str) -> str:
    decode_cursor(cursor)
    return cursor


class PageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Annotated[str, Field(max_length=64), AfterValidator(_ours)] | None = Field(
        None, description="The `next` of the page before; leave it out for the first."
    )
    limit: int = Field(50, ge=1, le=200)

    @property
    def after(self) -> tuple[datetime, int] | None:
        """Where the page before ended."""
        return None if self.cursor is None else decode_cursor(self.cursor)


TimeSort = Literal[Sort.NEWEST, Sort.OLDEST]
_OF_A_PATIENT = ("patient_id", "issuer_of_patient_id", "accession_number")


class FilterQuery(BaseModel):
    """What all lists and their exports have."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _not_filters: ClassVar[frozenset[str]] = frozenset({"cursor", "limit", "count", "sort", "format"})

    sort: Sort = Sort.NEWEST

    @property
    def without_patient(self) -> dict[str, object]:
        """The filters given, for the record of the read; of a patient only that one was asked for."""
        return self._asked | {name: "(given)" for name in _OF_A_PATIENT if name in self._asked}

    @property
    def _asked(self) -> dict[str, object]:
        return self.model_dump(mode="json", exclude=set(self._not_filters), exclude_defaults=True)

    def refuse_searching_for_patients(self, caller: Caller) -> None:
        """Raises Refusal: whoever sees patients masked would learn by searching who they are."""
        given = [name for name in _OF_A_PATIENT if getattr(self, name, None) is not None]
        if given and not caller.may(Scope.PHI_READ):
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                Code.SCOPE_MISSING,
                f"Searching by {', '.join(given)} needs the scope {Scope.PHI_READ}.",
            )


class ListQuery(FilterQuery):
    """Pages of a list. Cursors hold for the sort and the filters that they came with."""

    cursor: str | None = Field(
        None, max_length=64, description="The `next` of the page before; leave it out for the first."
    )
    limit: int = Field(50, ge=1, le=200)
    count: bool = Field(False, description="Answer `total` as well: how many there are on all pages.")

    @property
    def page(self) -> Page:
        """One row more than is shown tells whether there is a next page. Raises Refusal for a foreign cursor."""
        after = None
        if self.cursor is not None:
            try:
                after = decode_place(self.cursor, self.sort, self._asked)
            except ValueError as exc:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, f"cursor: {exc}") from exc
        return Page(self.limit + 1, self.sort, after)

    def next_after(self, key: PageKey) -> str:
        return encode_place(key, self.sort, self._asked)

    def cut(self, rows: Sequence[_Row], key_of: Callable[[_Row], PageKey]) -> tuple[Sequence[_Row], str | None]:
        """The rows to show, of those that ``page`` gave, and the cursor of the page after them; None at the end."""
        shown = rows[: self.limit]
        is_last = len(rows) == len(shown)
        return shown, None if is_last else self.next_after(key_of(shown[-1]))
