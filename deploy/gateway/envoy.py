"""Envoy configuration, generated from the gateway's rules as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.gateway import overload, replies
from deploy.gateway.filters import early_headers, hsts, limits, rate_limit, refusal, too_large
from deploy.gateway.rules import (
    BACKENDS,
    FORGEABLE_HEADERS,
    HEADERS_SECONDS,
    IDENTITY_HEADER,
    IDLE_SECONDS,
    MAX_BODY_BYTES,
    MAX_HEADER_KIB,
    MAX_HEADERS,
    MAX_STREAMS,
    REQUEST_SECONDS,
    SIGNATURE_ALGORITHMS,
    Clients,
    Host,
    hosts,
    publication,
)

_TYPE: Final = "type.googleapis.com/envoy.extensions"
# Over HTTP/2 the codec resets without an answer. It does so only far beyond the limit that is answered with a problem.
CODEC_TIMES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Network:
    """The services over a network: host and port of each, the CA of their certificates, and the gateway's own
    certificate.
    """

    addresses: Mapping[str, tuple[str, int]]
    services_ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Addresses and certificates of this gateway, and its services: behind Unix sockets, or over a network."""

    port: int
    # Port of the plain host; none: nothing is published.
    plain_port: int | None = None
    certificate: Path
    key: Path
    client_cas: Mapping[Clients, Path]
    sockets: Path
    admin_socket: Path
    address: str = "127.0.0.1"
    # Time limit for receiving a request, and for the service's answer.
    request_seconds: float = REQUEST_SECONDS
    network: Network | None = None
    # Off on one machine, where all clients have the same address.
    limits_rates: bool = False
    # Number of proxies in front, each of which adds its client's address to X-Forwarded-For.
    trusted_hops: int = 0

    def socket(self, service: str) -> Path:
        """Return a service's Unix socket: it listens nowhere else, so nobody can bypass the gateway."""
        return self.sockets / f"{service}.sock"


def render(gateway: Gateway) -> str:
    """Return the complete configuration."""
    return json.dumps(
        {
            "admin": {"address": {"pipe": {"path": str(gateway.admin_socket), "mode": 0o600}}},
            "overload_manager": overload.manager(),
            "static_resources": {
                "listeners": [
                    _listener(gateway),
                    *([] if gateway.plain_port is None else [_plain_listener(gateway, gateway.plain_port)]),
                ],
                "clusters": [_cluster(service, gateway) for service in BACKENDS],
            },
        },
        indent=1,
    )


def _listener(gateway: Gateway) -> dict[str, Any]:
    return {
        "name": "public",
        "address": {"socket_address": {"address": gateway.address, "port_value": gateway.port}},
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {"@type": f"{_TYPE}.filters.listener.tls_inspector.v3.TlsInspector"},
            }
        ],
        "listener_filters_timeout": f"{HEADERS_SECONDS}s",
        "per_connection_buffer_limit_bytes": 65536,
        "filter_chains": [_filter_chain(host, gateway) for host in hosts()],
    }


def _plain_listener(gateway: Gateway, port: int) -> dict[str, Any]:
    host = publication()
    http = {"name": "envoy.filters.network.http_connection_manager", "typed_config": _http(host, gateway)}
    return {
        "name": "publication",
        "address": {"socket_address": {"address": gateway.address, "port_value": port}},
        "per_connection_buffer_limit_bytes": 65536,
        "filter_chains": [{"name": host.name, "filters": [http]}],
    }


def _filter_chain(host: Host, gateway: Gateway) -> dict[str, Any]:
    return {
        "name": host.name,
        "filter_chain_match": {"server_names": [host.name]},
        "transport_socket_connect_timeout": f"{HEADERS_SECONDS}s",
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _tls(host, gateway)},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _http(host, gateway)}],
    }


def _tls(host: Host, gateway: Gateway) -> dict[str, Any]:
    context: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "signature_algorithms": [*SIGNATURE_ALGORITHMS],
            **({"tls_maximum_protocol_version": "TLSv1_2"} if host.newest_is_tls_1_2 else {}),
        },
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(gateway.certificate)},
                "private_key": {"filename": str(gateway.key)},
            }
        ],
    }
    if host.clients is not None:
        context["validation_context"] = {
            "trusted_ca": {"filename": str(gateway.client_cas[host.clients])},
            # The service refuses an expired certificate with an explanation; a failed handshake has none.
            "allow_expired_certificate": True,
        }
    return {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": context,
        # No session resumption: a client that showed no certificate must not come back as one that did.
        "require_client_certificate": False,
        "disable_stateless_session_resumption": host.asks_for_certificate,
        "disable_stateful_session_resumption": host.asks_for_certificate,
    }


def _http(host: Host, gateway: Gateway) -> dict[str, Any]:
    seconds = f"{gateway.request_seconds}s"
    manager: dict[str, Any] = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": host.name.partition(".")[0],
        "codec_type": "AUTO",
        "server_name": "ecert",
        "use_remote_address": True,
        "xff_num_trusted_hops": gateway.trusted_hops,
        "forward_client_cert_details": "SANITIZE",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        "max_request_headers_kb": CODEC_TIMES * MAX_HEADER_KIB,
        "request_headers_timeout": f"{HEADERS_SECONDS}s",
        "request_timeout": seconds,
        "stream_idle_timeout": seconds,
        "common_http_protocol_options": {
            "idle_timeout": f"{IDLE_SECONDS}s",
            "max_headers_count": CODEC_TIMES * MAX_HEADERS,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": MAX_STREAMS,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": 1048576,
        },
        "internal_address_config": {"unix_sockets": False, "cidr_ranges": []},
        "local_reply_config": replies.pages() if host.shows_pages else replies.problems(by_tls=not host.is_plain),
        "access_log": [_access_log()],
        "route_config": _routes(host, seconds),
        "early_header_mutation_extensions": [early_headers()],
        "http_filters": _filters(host, gateway),
    }
    if host.asks_for_certificate:
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"cert": True}
    return manager


def _routes(host: Host, seconds: str) -> dict[str, Any]:
    removed = [*FORGEABLE_HEADERS, *(() if host.asks_for_certificate else (IDENTITY_HEADER,))]
    closed = [{"match": {"path": path}, "direct_response": {"status": 404}} for path in host.closed_paths]
    routes = [
        {
            "match": {"prefix" if route.prefix else "path": route.path},
            "route": {
                "cluster": route.service,
                **({"prefix_rewrite": route.replaced_by} if route.replaced_by else {}),
                "timeout": seconds,
                # Retry only what never reached the service: after that, the request may have taken effect.
                "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2},
            },
        }
        for route in host.routes
    ]
    return {
        "request_headers_to_remove": removed,
        "virtual_hosts": [
            {
                "name": host.name,
                "domains": [host.name],
                "routes": [too_large(), *closed, *routes, refusal(404)],
            },
            {
                "name": "another-host-on-this-connection",
                "domains": ["*"],
                "routes": [too_large(), refusal(421)],
            },
        ],
    }


def _filters(host: Host, gateway: Gateway) -> list[dict[str, Any]]:
    return [
        # A browser ignores it in an answer without TLS, where RFC 6797 forbids it.
        *([] if host.is_plain else [hsts()]),
        *([rate_limit(host.name)] if gateway.limits_rates else []),
        limits(),
        {
            "name": "envoy.filters.http.buffer",
            "typed_config": {
                "@type": f"{_TYPE}.filters.http.buffer.v3.Buffer",
                "max_request_bytes": MAX_BODY_BYTES,
            },
        },
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
        },
    ]


def _access_log() -> dict[str, Any]:
    """Return the access log: one JSON line for each request, without query, body, or headers that hold secrets."""
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"{_TYPE}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {
                "json_format": {
                    "time": "%START_TIME%",
                    "host": "%REQUESTED_SERVER_NAME%",
                    "method": "%REQ(:METHOD)%",
                    "path": "%PATH(NQ:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "why": "%RESPONSE_CODE_DETAILS%",
                    "milliseconds": "%DURATION%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                    "client_request_id": "%REQ(X-CLIENT-REQUEST-ID):64%",
                }
            },
        },
    }


def _cluster(service: str, gateway: Gateway) -> dict[str, Any]:
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    found: dict[str, Any] = {"type": "STATIC"}
    address: dict[str, Any] = {"pipe": {"path": str(gateway.socket(service))}}
    if gateway.network is not None:
        host, port = gateway.network.addresses[service]
        tls = _mutual_tls(gateway.network, host)
        found = {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED", "transport_socket": tls}
        address = {"socket_address": {"address": host, "port_value": port}}
    return {
        "name": service,
        **found,
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            protocol: {
                "@type": f"type.googleapis.com/{protocol}",
                # Less than gunicorn's keep-alive of two seconds, so that the gateway closes an idle connection first.
                "common_http_protocol_options": {"idle_timeout": "1s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": service,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _mutual_tls(network: Network, host: str) -> dict[str, Any]:
    """Return mutual TLS: the service must have the expected name, and it accepts only the gateway's certificate."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(network.certificate)},
                        "private_key": {"filename": str(network.key)},
                    }
                ],
                "validation_context": {
                    "trusted_ca": {"filename": str(network.services_ca)},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
                },
            },
        },
    }
