"""``/metrics`` for Prometheus, read from the database at each scrape: any process may restart, no count is lost.

It needs no key, which scrapers rarely have: it holds counts, ages and names from the configuration, nothing of images
or patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from api.recent import Recent
from api.watch import Watch
from audit.drift import DriftReport
from audit.figures import Figures, read_figures
from audit.session import Database

_FRESH_SECONDS = 5
_TOLD_APART_BY = ["outcome", "model", "version", "source"]
_LOOKED_FOR = ("association.refused", "instance.conflict")
"""Kinds of events that the rules in ``docker/prometheus`` wait for: a count that begins with its first event never
grows in Prometheus's eyes, so these begin at 0."""
_EXAMPLE = '# TYPE pneumo_predictions_total counter\npneumo_predictions_total{outcome="positive",...} 12.0\n'


def metrics_router(database: Database, watch: Watch) -> APIRouter:
    router = APIRouter(tags=["operation"])
    text = Recent(lambda: _text(database, watch), _FRESH_SECONDS)

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}}}},
    )
    def metrics() -> Response:
        return Response(text.get(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _text(database: Database, watch: Watch) -> bytes:
    watch.settle()
    with database.read() as session:
        figures = read_figures(session)
    registry = CollectorRegistry()
    registry.register(_Exposition(figures, watch.free_bytes(), watch.drift()))
    return generate_latest(registry)


class _Exposition(Collector):
    """The figures in Prometheus's terms."""

    def __init__(self, figures: Figures, free_bytes: int | None, drift: DriftReport | None) -> None:
        self._figures, self._free_bytes, self._drift = figures, free_bytes, drift

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        yield _counter("instances_received", "Images received", ["source"], _by_one(figures.instances))
        yield _counter("predictions", "Outcomes of images", _TOLD_APART_BY, figures.predictions)
        yield _counter("events", "Audit events", ["kind"], _by_one(dict.fromkeys(_LOOKED_FOR, 0) | figures.events))
        yield _counter(
            "feedback", "What readers said of predictions", ["agreement", "model", "version"], figures.feedback
        )
        yield _gauge("deliveries", "Result objects by state of delivery", ["state", "destination"], figures.deliveries)
        yield _gauge(
            "deliveries_unconfirmed", "Sent, and still to be confirmed", ["destination"], _by_one(figures.unconfirmed)
        )
        yield _gauge(
            "oldest_undelivered_age_seconds",
            "Age of the oldest pending delivery",
            ["destination"],
            _by_one(figures.oldest_undelivered_age),
        )
        yield _gauge(
            "worker_heartbeat_age_seconds",
            "Since a worker last served the queue",
            ["queue"],
            _by_one(figures.heartbeat_age),
        )
        yield _gauge("alert", "1 for each open alert", ["code", "subject"], dict.fromkeys(figures.alerts, 1))
        yield _gauge(
            "image_latency_seconds",
            "From arrival to outcome, in the last hour",
            ["quantile"],
            {(str(quantile),): seconds for quantile, seconds in figures.latency.items()},
        )
        yield _gauge(
            "drift_psi", "Population stability index of the scores, last whole week", ["source"], self._stability()
        )
        if self._free_bytes is not None:
            yield _gauge("spool_free_bytes", "Free space of the spool", [], {(): self._free_bytes})
        yield _gauge("jobs_pending", "Images without an outcome", [], {(): figures.jobs_pending})
        yield _gauge(
            "oldest_unanalysed_age_seconds", "Age of the oldest such image", [], {(): figures.oldest_unanalysed_age}
        )
        yield _gauge("studies_waiting", "Studies whose results were not let go yet", [], {(): figures.studies_waiting})

    def _stability(self) -> dict[tuple[str, ...], float]:
        sources = self._drift.sources if self._drift else ()
        return {
            (found.source,): found.comparison.stability.psi
            for found in sources
            if found.comparison.stability is not None
        }


def _counter(name: str, about: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    return _filled(CounterMetricFamily(f"pneumo_{name}", about, labels=labels), values)


def _gauge(name: str, about: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    return _filled(GaugeMetricFamily(f"pneumo_{name}", about, labels=labels), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, float]) -> Metric:
    for told_apart_by, value in values.items():
        family.add_metric(told_apart_by, value)
    return family


def _by_one(values: Mapping[str, float]) -> dict[tuple[str], float]:
    return {(name,): value for name, value in values.items()}
