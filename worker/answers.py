"""What came of an attempt to deliver, whichever way it went."""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.destinations import RetryPolicy


@dataclass(frozen=True, slots=True)
class Sent:
    """Stored as far as the destination's answer tells; not yet confirmed."""

    status: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Not stored. ``permanent`` says whether another attempt can help."""

    code: str
    permanent: bool
    status: int | None = None


Answer = Sent | Refused
NO_ANSWER = Refused("no_answer", permanent=False)


def pause_before_retry(attempts: int, policy: RetryPolicy) -> float:
    """Seconds: doubling with each attempt up to the longest pause; spread, so that a PACS is not met by all at once."""
    pause = min(policy.first_retry_seconds * 2.0 ** min(attempts - 1, 30), policy.longest_pause_seconds)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
