"""What came of an attempt to deliver, whichever way it went."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.destinations import RetryPolicy
from core.errors import ConfigurationError, FailedForGood, RetryLater
from core.logs import get_logger
from core.records import DeliveryJob

log = get_logger("delivery")


@dataclass(frozen=True, slots=True)
class Sent:
    """Stored as far as the destination's answer tells.

    ``status``: of DIMSE, or a reason of STOW-RS; of HTTP for a webhook; 0 where there are no numbers.
    ``confirmed``: it is known to lie there, and need not be asked for.
    """

    status: int
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Not stored.

    ``permanent``: another attempt cannot help. ``retry_after_seconds``: the pause that the destination asks for.
    """

    code: str
    permanent: bool
    status: int | None = None
    retry_after_seconds: float | None = None


Answer = Sent | Refused
NO_ANSWER = Refused("no_answer", permanent=False)

# PS3.4 B.2.3 and PS3.7 C.4 and C.5: what repeating cannot change. 0xA9xx and 0xCxxx are families.
_PERMANENT = {
    0x0117: "invalid_sop_instance",
    0x0122: "sop_class_not_supported",
    0x0124: "not_authorised",
}
DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 C.5.7: it has this very object, since our UIDs are derived and our bytes kept
_SUCCESS_OR_WARNING = {0x0000, 0x0001, 0x0107, 0x0116, DUPLICATE_SOP_INSTANCE}


def read_status(status: int | None) -> Answer:
    """The fate that a C-STORE status, or a Failure Reason of STOW-RS, means; None where no answer came."""
    if status is None:
        return NO_ANSWER
    if status in _SUCCESS_OR_WARNING or status >> 12 == 0xB:
        return Sent(status)
    if status in _PERMANENT:
        return Refused(_PERMANENT[status], permanent=True, status=status)
    if status >> 8 == 0xA9:
        return Refused("data_set_does_not_match_sop_class", permanent=True, status=status)
    if status >> 12 == 0xC:
        return Refused("cannot_understand", permanent=True, status=status)
    if status >> 8 == 0xA7:
        return Refused("out_of_resources", permanent=False, status=status)
    return Refused("refused", permanent=False, status=status)


class Unavailable(RetryLater):
    """The destination takes nothing now, whatever it is sent."""

    def __init__(self, code: str, status: int | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(code)
        self.status, self.retry_after_seconds = status, retry_after_seconds


def in_turn(
    deliveries: Sequence[DeliveryJob], send: Callable[[DeliveryJob], Answer]
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each and yield its answer before the next is sent.

    Once ``send`` raises (Unavailable, RetryLater, FailedForGood, ConfigurationError) the cause lies with the
    destination, and the rest has the same answer without a try.
    """
    for_the_rest: Refused | None = None
    for delivery in deliveries:
        answer: Answer
        if for_the_rest is not None:
            answer = for_the_rest
        else:
            try:
                answer = send(delivery)
            except (RetryLater, FailedForGood, ConfigurationError) as exc:
                answer = for_the_rest = refusal(exc, delivery.destination)
        yield delivery, answer


def refusal(exc: RetryLater | FailedForGood | ConfigurationError, destination: str) -> Refused:
    match exc:
        case Unavailable(code=code, status=status, retry_after_seconds=seconds):
            return Refused(code, permanent=False, status=status, retry_after_seconds=seconds)
        case ConfigurationError():
            log.error("destination_not_usable", destination=destination, reason=str(exc))
            return Refused("not_usable_as_configured", permanent=False)
        case _:
            return Refused(exc.code, permanent=isinstance(exc, FailedForGood))


def pause_before_retry(attempts: int, policy: RetryPolicy) -> float:
    """Seconds: doubling with each attempt up to the longest pause; spread, so that a PACS is not met by all at once."""
    pause = min(policy.first_retry_seconds * 2.0 ** min(attempts - 1, 30), policy.longest_pause_seconds)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
