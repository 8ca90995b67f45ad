"""How lists are read: in an order that never changes, page after page from a key, with conditions that stay fast.

A condition on another table is written in one of two ways. Where few rows meet it, their keys are looked up first.
Where many do, the list is walked in its order and each row is asked: the page is full long before the table ends. Left
to itself SQLite, which knows nothing of how many rows a value has, sorts half the table for fifty rows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

FEW = 5000
"""What is looked up and sorted in no time."""

Value = TypeVar("Value")
_Column = InstrumentedAttribute[Value] | ColumnElement[Value]

PageKey = tuple[datetime | float, int]
"""Where a page ended: what its last row is sorted by, and its id."""


class Sort(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    PROBABILITY_HIGH = "probability_high"
    PROBABILITY_LOW = "probability_low"

    @property
    def descends(self) -> bool:
        return self in (Sort.NEWEST, Sort.PROBABILITY_HIGH)

    @property
    def by_probability(self) -> bool:
        return self in (Sort.PROBABILITY_HIGH, Sort.PROBABILITY_LOW)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that arrive while someone pages newest first stand before the first page and move nothing.

    What a list is sorted by is written once with a row, so no row changes its place. A transaction that was still open
    when its place was passed is seen by the next walk only.
    """

    limit: int
    sort: Sort = Sort.NEWEST
    after: PageKey | None = None
    """Key of the last row of the page before."""


class Search:
    """Conditions on one table, gathered, and the pages of what meets them."""

    def __init__(self, session: Session, row_id: InstrumentedAttribute[int]) -> None:
        self._session, self._row_id = session, row_id
        self._where: list[ColumnElement[bool]] = []
        self._few = False

    def where(self, *conditions: ColumnElement[bool]) -> None:
        self._where += conditions

    def among(self, column: InstrumentedAttribute[int], found: Select[Any], *, few: bool | None = None) -> None:
        """``column`` must have one of the values found. Tables of both statements must be aliased in it.

        Args:
            few: what is known of how many there are; looked at when left out.
        """
        if self.are_few(found) if few is None else few:
            self._few = True
            # The limit tells PostgreSQL how many to expect. Twice as many: some may have come since they were counted.
            self.where(column.in_(found.limit(2 * FEW) if few is None else found))
        else:
            (key,) = found.selected_columns
            self.where(found.where(key == column).correlate(column.table).exists())

    def are_few(self, found: Select[Any]) -> bool:
        """Looks at no more rows than it takes to tell."""
        return (self._session.scalar(select(func.count()).select_from(found.limit(FEW).subquery())) or 0) < FEW

    @property
    def is_open(self) -> bool:
        """Nothing is asked for yet."""
        return not self._where

    def selecting(self, column: InstrumentedAttribute[int]) -> Select[int]:
        """Another column of all that meet the conditions."""
        return select(column).where(*self._where)

    @property
    def found(self) -> Select[int]:
        """The keys of all that meet the conditions."""
        return self.selecting(self._row_id)

    def page(self, by: InstrumentedAttribute[Any], page: Page) -> Sequence[int]:
        """Keys, in order; ``by`` may be the key itself."""
        if not self._few:
            return self._session.scalars(paged(self.found, by, self._row_id, page)).all()
        # Behind OFFSET 0 the few are looked up and sorted. PostgreSQL would walk the whole list in its order instead,
        # sure to come past enough of them soon, wherever they all lie.
        few = self.found.add_columns(by.label("by")).offset(0).subquery()
        column = few.c[0] if by is self._row_id else few.c.by
        return self._session.scalars(paged(select(few.c[0]), column, few.c[0], page)).all()

    def count(self) -> int:
        return self._session.scalar(select(func.count()).select_from(self.found.subquery())) or 0


def paged(statement: Select[Any], by: _Column[Any], row_id: _Column[int], page: Page) -> Select[Any]:
    """The rows of this page, in order; ``by`` may be ``row_id`` itself."""
    columns = (row_id,) if by is row_id else (by, row_id)
    if page.after is not None:
        key = page.after[-len(columns) :]
        place = tuple_(*(literal(value, column.type) for value, column in zip(key, columns, strict=True)))
        here = tuple_(*columns)
        statement = statement.where(here < place if page.sort.descends else here > place)
    order = [column.desc() if page.sort.descends else column.asc() for column in columns]
    return statement.order_by(*order).limit(page.limit)


def distinct_values(session: Session, column: InstrumentedAttribute[str]) -> list[str]:
    """Each value is one step through the index that begins with the column, so a million rows cost the same."""
    first = select(column.label("value")).order_by(column).limit(1).subquery()
    values = select(first.c.value).cte("seen", recursive=True)
    following = select(column).where(column > values.c.value).order_by(column).limit(1).correlate(values)
    values = values.union_all(select(following.scalar_subquery()).where(values.c.value.is_not(None)))
    return [value for value in session.scalars(select(values.c.value)) if value is not None]
