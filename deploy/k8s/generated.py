"""Generated manifests: the gateway's rules for Envoy Gateway, written by `make docs` and compared by a test."""

import json
from pathlib import Path
from typing import Any, Final

from deploy.gateway import overload, replies
from deploy.gateway.envoy import CODEC_TIMES, Gateway, Network, render
from deploy.gateway.filters import early_headers, hsts, limits, rate_limit, too_large
from deploy.gateway.rules import (
    API_HOST,
    BACK_OFFICE_HOST,
    BACKENDS,
    DESK_HOST,
    FEED,
    HEADERS_SECONDS,
    MAX_HEADER_KIB,
    MAX_HEADERS,
    PORTAL_HOST,
    SIGN_IN_HOST,
    SIGN_IN_TLS_1_2_HOST,
    Clients,
)
from deploy.local import perspectives

_OVERLAYS: Final = Path(__file__).parent / "overlays"
_INSIDE: Final = Path("/etc/ecert/inside")
_MANAGER: Final = 'filters[?(@.name=="envoy.filters.network.http_connection_manager")].typed_config'
_TYPE: Final = "type.googleapis.com/envoy"
# Listeners of the Gateway; Envoy Gateway names their filter chains NAMESPACE/GATEWAY/LISTENER.
HOST_OF: Final = {
    "api": API_HOST,
    "sign-in": SIGN_IN_HOST,
    "sign-in-token": SIGN_IN_TLS_1_2_HOST,
    "back-office": BACK_OFFICE_HOST,
    "portal": PORTAL_HOST,
    "desk": DESK_HOST,
}
LISTENERS: Final = (*HOST_OF,)
# Secrets with the CAs of client certificates, and their folders in the pod.
CLIENT_CAS: Final = {
    Clients.ECERTS: "client-cas",
    Clients.SYSTEMS: "back-office-cas",
    Clients.STAFF: "staff-cas",
}


# The logs of a development cluster.
LOGS_SERVICE: Final = "transparency-logs"


def files() -> dict[Path, str]:
    """Return every generated file with its content."""
    return {
        _OVERLAYS / "dev" / "gateway" / "envoy.json": dev_gateway(),
        _OVERLAYS / "dev" / "perspectives" / perspectives.LIST: dev_perspectives(),
        _OVERLAYS / "production" / "gateway" / "patches.yaml": json.dumps(patches(), indent=1, ensure_ascii=False)
        + "\n",
        _OVERLAYS / "production" / "gateway" / "bootstrap.yaml": json.dumps(bootstrap(), indent=1) + "\n",
    }


def service_of(backend: str) -> str:
    """Return the Service of a route's target."""
    return backend if backend == FEED else f"{backend}-web"


def dev_gateway() -> str:
    """Return the configuration of Envoy without an operator, as on one machine, with the services behind mutual TLS."""
    network = Network(
        addresses={backend: (service_of(backend), 8443) for backend in BACKENDS},
        services_ca=_INSIDE / "services-ca.crt",
        certificate=_INSIDE / "tls.crt",
        key=_INSIDE / "tls.key",
    )
    gateway = Gateway(
        port=8443,
        plain_port=8080,
        address="0.0.0.0",  # noqa: S104 (in its pod)
        certificate=Path("/etc/ecert/public/tls.crt"),
        key=Path("/etc/ecert/public/tls.key"),
        client_cas={kind: Path(f"/etc/ecert/{name}/ca.crt") for kind, name in CLIENT_CAS.items()},
        sockets=Path("/run/envoy"),
        admin_socket=Path("/run/envoy/admin.sock"),
        network=network,
    )
    return render(gateway) + "\n"


def dev_perspectives() -> str:
    """Return issuance's list of perspectives: the places of one machine, each behind its own Service."""
    return perspectives.describe({place.name: f"perspective-{place.name}:8443" for place in perspectives.PLACES}) + "\n"


def patches() -> dict[str, Any]:
    """Return the patches for which Envoy Gateway has no field: refusals with a text, and expired certificates let
    through.
    """
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyPatchPolicy",
        "metadata": {"name": "ecert"},
        "spec": {
            "type": "JSONPatch",
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "ecert"},
            "jsonPatches": [
                *(patch for each in LISTENERS for patch in _manager(each)),
                *map(_expired, ("sign-in", "sign-in-token", "back-office", "desk")),
            ],
        },
    }


def bootstrap() -> dict[str, Any]:
    """Return the patch that replaces the operator's overload manager by ours."""
    replaced = {"op": "replace", "path": "/overload_manager", "value": overload.manager()}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyProxy",
        "metadata": {"name": "ecert"},
        "spec": {"bootstrap": {"type": "JSONPatch", "jsonPatches": [replaced]}},
    }


def _manager(listener: str) -> list[dict[str, Any]]:
    chosen = {
        "/local_reply_config": replies.pages() if listener in ("portal", "desk") else replies.problems(),
        "/max_request_headers_kb": CODEC_TIMES * MAX_HEADER_KIB,
        "/request_headers_timeout": f"{HEADERS_SECONDS}s",
        "/common_http_protocol_options/max_headers_count": CODEC_TIMES * MAX_HEADERS,
        # Before all of Envoy Gateway's own filters: its buffer would reset the stream.
        "/early_header_mutation_extensions/0": early_headers(),
        "/http_filters/0": hsts(),
        "/http_filters/1": rate_limit(HOST_OF[listener]),
        "/http_filters/2": limits(),
    }
    where = f'$.filter_chains[?(@.name=="ecert/ecert/{listener}")].{_MANAGER}'
    added = [
        {
            "type": f"{_TYPE}.config.listener.v3.Listener",
            "name": f"ecert/ecert/{LISTENERS[0]}",
            "operation": {"op": "add", "jsonPath": where, "path": path, "value": value},
        }
        for path, value in chosen.items()
    ]
    first_route = {"op": "add", "path": "/virtual_hosts/0/routes/0", "value": too_large()}
    routes = {"type": f"{_TYPE}.config.route.v3.RouteConfiguration", "name": f"ecert/ecert/{listener}"}
    return [*added, {**routes, "operation": first_route}]


def _expired(listener: str) -> dict[str, Any]:
    return {
        "type": f"{_TYPE}.extensions.transport_sockets.tls.v3.Secret",
        "name": f"ecert/{listener}/ca.crt",
        "operation": {"op": "add", "path": "/validation_context/allow_expired_certificate", "value": True},
    }


def write() -> None:
    """Write all files."""
    for path, content in files().items():
        path.write_text(content, "utf-8")
