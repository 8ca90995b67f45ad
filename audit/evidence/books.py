"""All the books, held against the events as a walk along the chain comes by them, and then page by page."""

from __future__ import annotations

from sqlalchemy.orm import Session

from audit.evidence.book import Book, Fault
from audit.evidence.deliveries import Deliveries
from audit.evidence.destinations import Destinations
from audit.evidence.erasures import Erasures
from audit.evidence.feedback import ReadersWords
from audit.evidence.images import Images
from audit.evidence.keys import Keys
from audit.evidence.models import Models
from audit.evidence.pictures import Pictures
from audit.evidence.predictions import Predictions
from audit.evidence.withdrawals import Withdrawals
from audit.models import AuditEvent


class Books:
    """Give it events as they come, then let it page through the books."""

    def __init__(self) -> None:
        self._predictions = Predictions()
        self._books: dict[str, Book] = {
            "images": Images(), "predictions": self._predictions, "pictures": Pictures(), "withdrawals": Withdrawals(),
            "destinations": Destinations(), "deliveries": Deliveries(), "feedback": ReadersWords(),
            "erasures": Erasures(), "models": Models(), "keys": Keys(),
        }  # fmt: skip
        self.first_bad: Fault | None = None
        self._taken: list[tuple[Book, AuditEvent]] = []
        self._unread = [*self._books.values()]
        self._after = 0

    def counts(self) -> dict[str, int]:
        held = {name: book.held for name, book in self._books.items()}
        return {**held, "older_predictions": self._predictions.older}

    def take(self, event: AuditEvent) -> None:
        self._taken += [(book, event) for book in self._books.values() if book.takes(event)]

    def compare(self, session: Session) -> None:
        """Hold the rows that the events taken since the last time tell about against them."""
        taken, self._taken = self._taken, []
        faults: list[Fault] = []
        for book in self._books.values():
            events = [event for theirs, event in taken if theirs is book]
            if events:
                book.held += len(events)
                faults += book.hold(session, events)
        if faults and self.first_bad is None:
            self.first_bad = min(faults, key=lambda fault: fault.id or 0)

    def page(self, session: Session) -> bool:
        """Look for the events of some hundred rows; False when there are no more rows, or one is wrong."""
        if self.first_bad is not None or not self._unread:
            return False
        page = self._unread[0].page(session, self._after)
        self.first_bad, self._after = page.fault, page.last_id or 0
        if page.last_id is None:
            self._unread.pop(0)
        return bool(self._unread)
