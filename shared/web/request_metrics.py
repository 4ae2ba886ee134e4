"""Request metrics: rate, errors and duration of all requests."""

import time
from typing import Final

import flask
from prometheus_client import Counter, Histogram

REQUESTS: Final = Counter("http_requests_total", "HTTP requests answered", ["method", "route", "status"])
# A label never contains a client's text: each new value is a time series for good.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS: Final = Histogram("http_request_seconds", "Time to answer an HTTP request", ["method", "route"])


def begin() -> None:
    """Start timing a request."""
    flask.g.started = time.perf_counter()


def end(response: flask.Response) -> tuple[str, float]:
    """Record a request. Returns its route and its duration in seconds."""
    route = flask.request.url_rule.rule if flask.request.url_rule else "unknown"
    seconds = time.perf_counter() - flask.g.get("started", time.perf_counter())
    method = flask.request.method if flask.request.method in METHODS else "other"
    REQUESTS.labels(method, route, response.status_code).inc()
    SECONDS.labels(method, route).observe(seconds)
    return route, seconds
