"""Bounds how often a sign-in may fail. The keys cannot be guessed; the database need not be asked for ever either."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

_PER_ADDRESS = RateLimitItemPerMinute(20)
_PER_KEY = RateLimitItemPerMinute(10)


class SignInAttempts:
    """Failures of the last minute, counted in this process, by address and by the key's prefix."""

    def __init__(self, *, by_address: bool) -> None:
        self._by_address = by_address
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def too_many(self, address: str, prefix: str) -> bool:
        return not all(self._limiter.test(limit, *who) for limit, who in self._counted(address, prefix))

    def failed(self, address: str, prefix: str) -> None:
        for limit, who in self._counted(address, prefix):
            self._limiter.hit(limit, *who)

    def _counted(self, address: str, prefix: str) -> list[tuple[RateLimitItemPerMinute, tuple[str, str]]]:
        counted = [(_PER_ADDRESS, ("address", address))] if self._by_address else []
        return [*counted, (_PER_KEY, ("prefix", prefix))] if prefix else counted
