"""The error tree: one class per fate of a piece of work.

    PneumoError
    * ConfigurationError    the process does not start; the message says what to change
    * NotAnalysable         the image ends as "not analysed", with coded reasons
    * FailedForGood         the work ends as "failed" (an image) or "dead" (a delivery), with a coded reason
    * RetryLater            the work stays due and is tried again after a pause
    * LeaseLost             another worker has taken the work over; drop what was done, without a trace

Errors of foreign libraries are translated into these once, where we call them, with ``raise ... from exc``.
Messages carry UIDs and codes, never attributes of a patient: they are logged.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.records import Finding


class PneumoError(Exception):
    """Base of every error this service raises on purpose."""


class ConfigurationError(PneumoError):
    """A setting, file or address named in the configuration cannot be used."""


class NotAnalysable(PneumoError):
    """The model may not judge this image.

    ``reasons`` holds at least one coded finding; they become the audit row and the report.
    """

    def __init__(self, reasons: Sequence[Finding]) -> None:
        if not reasons:
            raise ValueError("NotAnalysable needs at least one coded reason, got none")
        super().__init__(", ".join(reason.code for reason in reasons))
        self.reasons = tuple(reasons)


class FailedForGood(PneumoError):
    """Repeating the work cannot help; ``code`` says why, in a word that goes into rows and reports."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class RetryLater(PneumoError):
    """The work failed for a cause that may pass; ``code`` says which."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class LeaseLost(PneumoError):
    """The fencing token is no longer ours: the lease ran out and someone else claimed the work."""
