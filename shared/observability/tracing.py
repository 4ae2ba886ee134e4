"""Traces: W3C trace context over HTTP, outbox, Kafka, handlers and effects.

Without a collector OpenTelemetry's API only passes the caller's context on: about 20 µs a span.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    import flask

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_TRACER: Final = trace.get_tracer("ecert")
_HEADER: Final = "traceparent"

Attributes = Mapping[str, str | int]


def is_on() -> bool:
    """Return whether a collector is configured, by OpenTelemetry's own variables."""
    return any(os.environ.get(name) for name in _ENDPOINTS)


def configure(service: str, process: str) -> None:
    """Send spans to the collector, if one is configured. Call it after the process has forked: it starts a thread."""
    if not is_on():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.namespace": "ecert", "service.name": service, "ecert.process": process})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def instrument(app: "flask.Flask") -> None:
    """Create a span for each request of this app, under the caller's."""
    if is_on():
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]


def link(traceparent: str) -> None:
    """Link the open span to another trace, such as a client's."""
    trace.get_current_span().add_link(_span_context(traceparent))


def current() -> str | None:
    """Return the traceparent to pass on; None outside of any trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_HEADER)


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    links: Sequence[str | None] = (),
    attributes: Attributes | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[str | None]:
    """Yield the traceparent to pass on, with a span open under `parent` for the block."""
    with _TRACER.start_as_current_span(
        name,
        context=_context(parent),
        kind=kind,
        links=[Link(_span_context(each)) for each in dict.fromkeys(links) if each],
        attributes=attributes,
    ):
        yield current()


def step(name: str) -> AbstractContextManager[object]:
    """Return a span under the open one, for the block."""
    return _TRACER.start_as_current_span(name)


def sent(name: str, *, parent: str | None, started: float, attributes: Attributes) -> None:
    """Record a sent event as a span from `started` (time.monotonic, seconds) until now."""
    end = time.time_ns()
    start = end - int((time.monotonic() - started) * 1e9)
    _TRACER.start_span(
        name, context=_context(parent), kind=SpanKind.PRODUCER, start_time=start, attributes=attributes
    ).end(end)


def _context(traceparent: str | None) -> Context:
    """Return the context of a traceparent; an empty one, which begins a trace, if it is missing or invalid."""
    return _PROPAGATOR.extract({_HEADER: traceparent} if traceparent else {}, context=Context())


def _span_context(traceparent: str | None) -> trace.SpanContext:
    return trace.get_current_span(_context(traceparent)).get_span_context()
