"""The query parameters. One that is not known is refused: a misspelt filter must not answer with everybody's images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.cursors import decode_place, encode_place
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

TimeSort = Literal[Sort.NEWEST, Sort.OLDEST]
_OF_A_PATIENT = ("patient_id", "issuer_of_patient_id", "accession_number")


async def each_once(request: Request) -> None:
    """A dependency of every route: of a parameter given twice, one value would be ignored. Raises Refusal."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    twice = sorted(name for name, count in given.items() if count > 1)
    if twice and request.scope["route"].dependant.query_params:
        raise _wrong(f"{', '.join(twice)}: given more than once; ask once for each value")


class Question(BaseModel):
    """What a list was asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _not_filters: ClassVar[frozenset[str]] = frozenset({"cursor", "limit", "count", "sort", "format"})

    @property
    def for_the_record(self) -> dict[str, object]:
        """The filters given, as the event of the read keeps them for ever: of a text only that there was one.

        People put a patient's name into whatever field is there.
        """
        return {name: "(given)" if self._is_text(name) else value for name, value in self._asked.items()}

    def _is_text(self, name: str) -> bool:
        return type(getattr(self, name)) is str and not name.endswith("_instance_uid")  # words of a list are StrEnums

    @property
    def _asked(self) -> dict[str, object]:
        return self.model_dump(mode="json", exclude=set(self._not_filters), exclude_defaults=True)


class PageQuery(Question):
    """Pages of a list, newest first. Cursors hold for the list and the filters that they came with."""

    cursor: str | None = Field(
        None, max_length=64, description="The `next` of the page before; leave it out for the first."
    )
    limit: int = Field(50, ge=1, le=200)

    @property
    def after(self) -> PageKey | None:
        """Where the page before ended. Raises Refusal for a foreign cursor."""
        if self.cursor is None:
            return None
        try:
            return decode_place(self.cursor, type(self).__name__, self._sort, self._asked)
        except ValueError as exc:
            raise _wrong(f"cursor: {exc}") from exc

    def next_after(self, key: PageKey) -> str:
        return encode_place(key, type(self).__name__, self._sort, self._asked)

    def cut(self, rows: Sequence[_Row], key_of: Callable[[_Row], PageKey]) -> tuple[Sequence[_Row], str | None]:
        """The rows to show, of one more than ``limit``, and the cursor of the page after them; None at the end."""
        shown = rows[: self.limit]
        is_last = len(rows) == len(shown)
        return shown, None if is_last else self.next_after(key_of(shown[-1]))

    @property
    def _sort(self) -> Sort:
        return Sort.NEWEST


class FilterQuery(Question):
    """What the sorted lists and their exports have."""

    sort: Sort = Sort.NEWEST

    def refuse_searching_for_patients(self, caller: Caller) -> None:
        """Raises Refusal: whoever sees patients masked would learn by searching who they are."""
        given = [name for name in _OF_A_PATIENT if getattr(self, name, None) is not None]
        if given and not caller.may(Scope.PHI_READ):
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                Code.SCOPE_MISSING,
                f"Searching by {', '.join(given)} needs the scope {Scope.PHI_READ}.",
            )


class ListQuery(FilterQuery, PageQuery):
    """Pages of a sorted list. Cursors hold for its sort as well."""

    count: bool = Field(False, description="Answer `total` as well: how many there are on all pages.")

    @property
    def page(self) -> Page:
        """One row more than is shown tells whether there is a next page. Raises Refusal for a foreign cursor."""
        return Page(self.limit + 1, self.sort, self.after)

    @property
    def _sort(self) -> Sort:
        return self.sort


def _wrong(detail: str) -> Refusal:
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, f"{detail}.")
