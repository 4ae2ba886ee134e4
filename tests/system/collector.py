"""A collector of traces: takes what OpenTelemetry's exporters send (OTLP over HTTP) and keeps it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.servers import serving


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span, ids in hexadecimal; times in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    process: str
    name: str
    start: int
    end: int
    links: tuple[str, ...]


class Collector:
    """Every span that was sent so far."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._spans: list[Span] = []

    def take(self, body: bytes) -> None:
        """Accept one export request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            process = f"{about['service.name']}-{about['ecert.process']}"
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._spans.append(
                        Span(
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            process=process,
                            name=span.name,
                            start=span.start_time_unix_nano,
                            end=span.end_time_unix_nano,
                            links=tuple(link.trace_id.hex() for link in span.links),
                        )
                    )

    def spans(self, trace_id: str) -> list[Span]:
        """Return the spans of one trace, the earliest first."""
        return sorted((span for span in [*self._spans] if span.trace_id == trace_id), key=lambda span: span.start)

    def linked(self, trace_id: str) -> list[Span]:
        """Return spans of other traces that link to this one."""
        return [span for span in [*self._spans] if trace_id in span.links]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Yield a collector on a free loopback port, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(server.server_port)
    with serving(server):
        yield collector
