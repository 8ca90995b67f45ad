"""Looks after the alerts whenever somebody asks for them, and Prometheus asks all the time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from api.health import HEARTBEAT_SECONDS
from api.recent import Recent
from audit.alerts import Condition, settle_alerts
from audit.anchors import ANCHOR
from audit.conditions import Watched, drift_conditions, find_conditions
from audit.drift import DriftReport, read_drift
from audit.session import Database
from audit.witnessed import SYSLOG
from core.broker import WorkQueue
from core.settings import Settings
from core.spool import Spool

_FRESH_SECONDS = 10
_DRIFT_FRESH_SECONDS = 900
"""It compares weeks, and reads them all."""


class Watch:
    """Of one process; any number of them may look at the same books."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._settled = Recent(self._settle, _FRESH_SECONDS)
        self._drift = Recent(self._read_drift, _DRIFT_FRESH_SECONDS)

    def settle(self) -> None:
        """On return the open alerts are those of some seconds ago at most."""
        self._settled.get()

    def drift(self) -> DriftReport | None:
        """Of the last whole week, by the model that judged last; None before any did."""
        return self._drift.get()[0]

    def free_bytes(self) -> int | None:
        """Of the spool; None where it has no limit, 0 where it is gone."""
        try:
            return Spool(self._settings.spool).free_bytes()
        except OSError:
            return 0

    def _settle(self) -> list[Condition]:
        watched = Watched(
            queues=tuple(WorkQueue),
            heartbeat_seconds=HEARTBEAT_SECONDS,
            free_bytes=self.free_bytes(),
            reserve_bytes=self._settings.listener.disk_reserve_bytes,
            witnesses=self._witnesses(),
        )
        report = self.drift()
        with self._database.read() as session:
            conditions = find_conditions(session, self._settings.alerts, watched)
        conditions += drift_conditions(report)
        with self._database.write() as session:
            settle_alerts(session, conditions)
        return conditions

    def _witnesses(self) -> dict[str, float]:
        audit, patience = self._settings.audit, self._settings.alerts.undelivered_seconds
        told = {} if audit.syslog is None else {SYSLOG: patience}
        return told if audit.anchor_file is None else told | {ANCHOR: audit.anchor_seconds + patience}

    def _read_drift(self) -> tuple[DriftReport | None]:
        with self._database.read() as session:
            return (read_drift(session, today=datetime.now(UTC).date()),)


def _watch(request: Request) -> Watch:
    return cast("Watch", request.app.state.watch)


WatchOfApp = Annotated[Watch, Depends(_watch)]
