"""OpenTelemetry traces, where an endpoint is configured: from a request or a C-STORE through the worker to delivery.

Attributes are UIDs, row ids, codes and numbers: traces leave the house, and hold nothing of a patient. For the same
reason the provider is ours alone, not the global one: libraries that find that one add paths, query strings and the
texts of exceptions.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from core.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Tracer

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | int | float | bool

_NANOSECONDS = 1_000_000_000
_EXPORT_SECONDS = 5.0
_tracer: Tracer | None = None


@contextmanager
def tracing(endpoint: str, process: str) -> Iterator[None]:
    """Make traces of this process inside the block, and send them there; none with an empty endpoint.

    A collector that is away costs the traces and nothing else.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    global _tracer  # noqa: PLW0603 - one of a process, as its logs
    if not endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise ConfigurationError(
            "otlp_endpoint asks for traces, and OpenTelemetry is not installed: pip install 'pneumo[tracing]'"
        ) from exc
    about = {
        "service.name": f"pneumo.{process}",
        "service.version": version("pneumo"),
        "host.name": socket.gethostname(),
    }
    provider = TracerProvider(resource=Resource(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = provider.get_tracer("pneumo", version("pneumo"))
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


def span(
    name: str, *, parent: str = "", kind: Kind = "internal", **attributes: Value
) -> AbstractContextManager[Span | None]:
    """What is done inside the block.

    ``parent`` is the traceparent of a caller elsewhere; the span around is the parent where there is none.
    """
    if _tracer is None:
        return nullcontext()
    return _span(_tracer, name, parent, kind, attributes)


def record_span(
    name: str,
    stages: Mapping[str, float],
    *,
    parent: str = "",
    kind: Kind = "internal",
    failed: bool = False,
    **attributes: Value,
) -> None:
    """What has just been done, in stages of so many seconds one after the other."""
    if _tracer is None:
        return
    from opentelemetry.trace import StatusCode, set_span_in_context

    ends = time.time_ns()
    began = ends - sum(_nanoseconds(seconds) for seconds in stages.values())
    whole = _tracer.start_span(name, _context(parent), _kind(kind), attributes=_named(attributes), start_time=began)
    if failed:
        whole.set_status(StatusCode.ERROR)
    context = set_span_in_context(whole)
    if len(stages) > 1:
        for stage, seconds in stages.items():
            part = _tracer.start_span(stage, context, start_time=began)
            began += _nanoseconds(seconds)
            part.end(began)
    whole.end(ends)


def traceparent() -> str:
    """W3C Trace Context of the span around, for whoever goes on with the work; empty where there is none."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def _span(tracer: Tracer, name: str, parent: str, kind: Kind, attributes: Mapping[str, Value]) -> Iterator[Span]:
    from opentelemetry.trace import StatusCode

    with tracer.start_as_current_span(
        name,
        _context(parent),
        _kind(kind),
        attributes=_named(attributes),
        record_exception=False,  # its text may quote a patient
        set_status_on_exception=False,
    ) as active:
        try:
            yield active
        except Exception as exc:
            active.set_status(StatusCode.ERROR, type(exc).__name__)
            raise


def _context(parent: str) -> Context | None:
    """None for the span around. A parent that is no traceparent counts as none."""
    if not parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _kind(kind: Kind) -> SpanKind:
    from opentelemetry.trace import SpanKind

    return SpanKind[kind.upper()]


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Those of OpenTelemetry's conventions have dots, which Python's keywords cannot."""
    return {name.replace("__", "."): value for name, value in attributes.items()}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * _NANOSECONDS)
