"""``/metrics`` for Prometheus, read from the database at each scrape: any process may restart, no count is lost.

It needs no key, which scrapers rarely have: it holds counts, ages and names from the configuration, nothing of images
or patients.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from api.recent import Recent
from audit.figures import Figures, read_figures
from audit.session import Database

_FRESH_SECONDS = 5
_EXAMPLE = '# TYPE pneumo_predictions_total counter\npneumo_predictions_total{outcome="positive",...} 12.0\n'


def metrics_router(database: Database) -> APIRouter:
    router = APIRouter(tags=["operation"])
    text = Recent(lambda: _text(database), _FRESH_SECONDS)

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}}}},
    )
    def metrics() -> Response:
        return Response(text.get(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _text(database: Database) -> bytes:
    with database.read() as session:
        figures = read_figures(session)
    registry = CollectorRegistry()
    registry.register(_Exposition(figures))
    return generate_latest(registry)


class _Exposition(Collector):
    """The figures in Prometheus's terms."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        instances = CounterMetricFamily("pneumo_instances_received", "Images received", labels=["source"])
        for source, count in figures.instances.items():
            instances.add_metric([source], count)
        yield instances

        predictions = CounterMetricFamily(
            "pneumo_predictions", "Outcomes of images", labels=["outcome", "model", "version"]
        )
        for told_apart_by, count in figures.predictions.items():
            predictions.add_metric(told_apart_by, count)
        yield predictions

        deliveries = GaugeMetricFamily(
            "pneumo_deliveries", "Result objects by state of delivery", labels=["state", "destination"]
        )
        for state_and_destination, count in figures.deliveries.items():
            deliveries.add_metric(state_and_destination, count)
        yield deliveries

        events = CounterMetricFamily("pneumo_events", "Audit events", labels=["kind"])
        for kind, count in figures.events.items():
            events.add_metric([kind], count)
        yield events

        undelivered = GaugeMetricFamily(
            "pneumo_oldest_undelivered_age_seconds", "Age of the oldest pending delivery", labels=["destination"]
        )
        for destination, age in figures.oldest_undelivered_age.items():
            undelivered.add_metric([destination], age)
        yield undelivered

        heartbeats = GaugeMetricFamily(
            "pneumo_worker_heartbeat_age_seconds", "Since a worker last served the queue", labels=["queue"]
        )
        for queue, age in figures.heartbeat_age.items():
            heartbeats.add_metric([queue], age)
        yield heartbeats

        yield GaugeMetricFamily("pneumo_jobs_pending", "Images without an outcome", figures.jobs_pending)
        yield GaugeMetricFamily(
            "pneumo_oldest_unanalysed_age_seconds", "Age of the oldest such image", figures.oldest_unanalysed_age
        )
        yield GaugeMetricFamily(
            "pneumo_studies_waiting", "Studies whose results were not let go yet", figures.studies_waiting
        )
