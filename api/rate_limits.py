"""How many images one client may have predicted in a time; all API processes count together where there is a Redis."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from core.logs import get_logger
from core.settings import Settings

log = get_logger("api")

_PREFIX = "pneumo-limits"
_ANSWERS_WITHIN_SECONDS = 0.5
_AWAY_SECONDS = 5.0
"""After a failure Redis is left alone for so long: no request waits for it."""
_LOGGED_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client got of what it asked for, and where it stands."""

    granted: int
    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    """Until there is room for one more."""

    @property
    def headers(self) -> dict[str, str]:
        """draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"predict";q={self.limit};w={self.window_seconds}',
            "RateLimit": f'"predict";r={self.remaining};t={self.reset_seconds}',
        }


class RateLimits:
    """A moving window. While Redis is away each process counts by itself. Blocks for a moment: call it in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._rate: RateLimitItem = parse(settings.api.predict_rate)
        self._alone = MovingWindowRateLimiter(MemoryStorage())
        url = settings.api.rate_limit_url or settings.broker_url
        self._together: MovingWindowRateLimiter | None = None
        if url.startswith(("redis://", "rediss://")):
            storage = RedisStorage(
                url,
                key_prefix=_PREFIX,
                wrap_exceptions=True,
                socket_timeout=_ANSWERS_WITHIN_SECONDS,
                socket_connect_timeout=_ANSWERS_WITHIN_SECONDS,
            )
            self._together = MovingWindowRateLimiter(storage)
        self._away_until = self._log_again_at = 0.0

    def take(self, client: str, number: int) -> Allowance:
        """As many of ``number`` as there is room for."""
        if self._together is not None and time.monotonic() >= self._away_until:
            try:
                return self._take(self._together, client, number)
            except StorageError as exc:
                self._miss(exc)
        return self._take(self._alone, client, number)

    def _take(self, limiter: MovingWindowRateLimiter, client: str, number: int) -> Allowance:
        granted = number
        while granted and not limiter.hit(self._rate, client, cost=granted):
            # Others of this client may take some between the two questions: the next turn sees that.
            granted = min(granted - 1, limiter.get_window_stats(self._rate, client).remaining)
        stats = limiter.get_window_stats(self._rate, client)
        return Allowance(
            granted=max(granted, 0),
            limit=self._rate.amount,
            window_seconds=self._rate.get_expiry(),
            remaining=max(stats.remaining, 0),
            reset_seconds=max(1, math.ceil(stats.reset_time - time.time())),
        )

    def _miss(self, exc: StorageError) -> None:
        at = time.monotonic()
        self._away_until = at + _AWAY_SECONDS
        if at >= self._log_again_at:
            self._log_again_at = at + _LOGGED_EVERY_SECONDS
            log.warning("rate_limit_counts_alone", cause=type(exc.storage_error).__name__)
