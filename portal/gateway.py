"""Client of the public API: the AR's requests through the gateway, in the trace of the page that sends them."""

from collections.abc import Mapping
from typing import Any, Final

import flask

from portal.settings import Settings
from shared.observability import tracing
from shared.web.https_client import APIProblem, APIUnavailable, Endpoint, HTTPSClient, Limits, Reply

_CONNECT_TIMEOUT_SECONDS: Final = 2.0
_READ_TIMEOUT_SECONDS: Final = 12.0
_MAX_BYTES: Final = 4 * 1024 * 1024
_UNAVAILABLE: Final = (502, 503, 504)


class API:
    """The public API."""

    def __init__(self, settings: Settings) -> None:
        self._client = HTTPSClient(
            Endpoint(url=settings.api_url, address=settings.gateway_address, ca_file=settings.gateway_ca_file),
            Limits(
                connections=settings.web.threads,
                connect_timeout=_CONNECT_TIMEOUT_SECONDS,
                read_timeout=_READ_TIMEOUT_SECONDS,
                max_bytes=_MAX_BYTES,
            ),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, token: str | None = None) -> Reply:
        """Send a GET request. Raises APIProblem, APIUnavailable."""
        return self._send("GET", path, None, token=token, key=None, headers={})

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a POST request; the same `key` and body take effect once. Raises APIProblem, APIUnavailable."""
        return self._send("POST", path, body, token=token, key=key, headers=headers or {})

    def _send(
        self, method: str, path: str, body: Any, *, token: str | None, key: str | None, headers: Mapping[str, str]
    ) -> Reply:
        sent = {"Accept": "application/json, */*", **headers, **_trace()}
        try:
            return self._client.request(method, path, body, token=token, key=key, headers=sent)
        except APIProblem as problem:
            # An answer without a problem document comes from the gateway.
            if problem.status in _UNAVAILABLE and problem.slug in ("internal", "unavailable"):
                raise APIUnavailable(str(problem)) from problem
            raise


def _trace() -> dict[str, str]:
    """Return the headers that connect this request with the page's."""
    found = {"traceparent": tracing.current()}
    if flask.has_request_context():
        found["X-Request-Id"] = flask.request.headers.get("X-Request-Id")
    return {name: value for name, value in found.items() if value}
