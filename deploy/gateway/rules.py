"""Rules of the gateway, as data: hosts, routes, limits, headers. All gateway configurations are generated from them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SERVICES: Final = ("identity", "application", "payment", "mailing", "issuance")
# mailing has no public API.
PUBLIC_SERVICES: Final = ("identity", "application", "payment", "issuance")
# Web pages for ARs, rendered by a client of the API.
PORTAL: Final = "portal"
# Events of issuance for the back office's systems, served by a separate process.
FEED: Final = "issuance-feed"
# Web pages for the CA's staff.
DESK: Final = "desk"
# All targets of routes.
BACKENDS: Final = (*SERVICES, PORTAL, FEED, DESK)


class Clients(StrEnum):
    """Kinds of client certificates; each kind has CAs of its own."""

    ECERTS = "e-certs"
    SYSTEMS = "systems"
    STAFF = "staff"


@dataclass(frozen=True, kw_only=True)
class Route:
    """A path or a path prefix, and the service (or the portal) that answers it."""

    path: str
    service: str
    prefix: bool = False
    # What replaces the prefix in the request that the service gets.
    replaced_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class RareRequest:
    """Requests that cost far more than others: with one access token, a burst, then one in each interval.

    `path` is a regular expression (RE2) that the whole path matches, without the query.
    """

    name: str
    method: str
    path: str
    burst: int
    interval_seconds: int


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host name: the kind of client certificate that it requests, if any, and whether people read its pages."""

    name: str
    routes: tuple[Route, ...]
    closed_paths: tuple[str, ...] = ()
    clients: Clients | None = None
    # For clients that can only make old signatures, TLS 1.2 is the newest version.
    newest_is_tls_1_2: bool = False
    shows_pages: bool = False
    # Served by plain HTTP, on a port of its own.
    is_plain: bool = False

    @property
    def asks_for_certificate(self) -> bool:
        """Whether the host requests a client certificate."""
        return self.clients is not None


# The client certificate decides here, so these paths exist only on hosts that request one.
SIGN_IN_PATHS: Final = (
    "/identity/v1/tokens",
    "/identity/v1/checkout-authorisations",
    "/identity/v1/authorise",
    "/identity/v1/certificate-tests",
)
# Paths of each process for the platform, never for the public.
PLATFORM_PATHS: Final = ("/livez", "/readyz", "/metrics")
API_HOST: Final = "api.ecert.localhost"
SIGN_IN_HOST: Final = "signin.ecert.localhost"
# The sign-in host for tokens that can sign RSA PKCS#1 only, which TLS 1.3 does not allow.
SIGN_IN_TLS_1_2_HOST: Final = "signin-token.ecert.localhost"
PORTAL_HOST: Final = "portal.ecert.localhost"
BACK_OFFICE_HOST: Final = "backoffice.ecert.localhost"
DESK_HOST: Final = "desk.ecert.localhost"
# Everybody may verify events that the feed's readers pass on.
FEED_KEYS_PATH: Final = "/issuance/v1/feed-keys"
FEED_PATHS: Final = ("/issuance/v1/issuance-events", "/issuance/v1/feed-head", FEED_KEYS_PATH)


def hosts(
    api: str = API_HOST,
    sign_in: str = SIGN_IN_HOST,
    token: str = SIGN_IN_TLS_1_2_HOST,
    portal: str = PORTAL_HOST,
    back_office: str = BACK_OFFICE_HOST,
    desk: str = DESK_HOST,
) -> tuple[Host, ...]:
    """Return all hosts with their routes; a path without a route does not exist."""
    return (
        Host(
            name=api,
            routes=(
                Route(path=FEED_KEYS_PATH, service=FEED),
                *(Route(path=f"/{s}/v1/", service=s, prefix=True) for s in PUBLIC_SERVICES),
            ),
            closed_paths=SIGN_IN_PATHS,
        ),
        Host(
            name=sign_in,
            routes=tuple(Route(path=path, service="identity") for path in SIGN_IN_PATHS),
            clients=Clients.ECERTS,
        ),
        Host(
            name=token,
            routes=tuple(Route(path=path, service="identity") for path in SIGN_IN_PATHS),
            clients=Clients.ECERTS,
            newest_is_tls_1_2=True,
        ),
        Host(
            name=portal,
            routes=(Route(path="/", service=PORTAL, prefix=True),),
            closed_paths=PLATFORM_PATHS,
            shows_pages=True,
        ),
        Host(
            name=back_office,
            routes=tuple(Route(path=path, service=FEED) for path in FEED_PATHS),
            clients=Clients.SYSTEMS,
        ),
        Host(
            name=desk,
            routes=(Route(path="/", service=DESK, prefix=True),),
            closed_paths=PLATFORM_PATHS,
            clients=Clients.STAFF,
            shows_pages=True,
        ),
    )


# Host of the CRL and of CA certificates, as certificates name it: by plain HTTP, since a client that checks a
# certificate cannot first check that of the server which has the CRL.
PUBLICATION_HOST: Final = "ca.ecert.example.hk"


def publication(host: str = PUBLICATION_HOST) -> Host:
    """Return the plain host: published files and nothing else."""
    return Host(
        name=host,
        routes=tuple(
            Route(path=f"/{kind}/", service="issuance", prefix=True, replaced_by=f"/issuance/v1/publications/{kind}/")
            for kind in ("crl", "root")
        ),
        is_plain=True,
    )


# The gateway's statement about the client certificate; the only identity header that services read.
IDENTITY_HEADER: Final = "x-forwarded-client-cert"
# A gateway overwrites only headers that it sets itself, so forged headers of other names are removed.
FORGEABLE_HEADERS: Final = (
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-client-certificate",
    "x-client-verify",
    "x-client-dn",
    "ssl-client-cert",
    "ssl-client-verify",
    "x-amzn-mtls-clientcert",
    "x-arr-clientcert",
    "x-remote-user",
    "remote-user",
    "x-user",
    "x-original-url",
    "x-rewrite-url",
)
FORGEABLE_PREFIXES: Final = ("x-ssl-", "ssl_client", "x-tls-client-", "x-auth-request-", "x-envoy-")

# A client's own ids are renamed and only logged. Ids in audit logs and events are the gateway's or a service's.
CLIENTS_IDS: Final = {"x-request-id": "x-client-request-id", "traceparent": "x-client-traceparent"}
TRACE_HEADERS: Final = ("traceparent", "tracestate", "baggage")

# Without SHA-1, which BoringSSL accepts from TLS 1.2 clients by default.
SIGNATURE_ALGORITHMS: Final = (
    "ecdsa_secp256r1_sha256",
    "rsa_pss_rsae_sha256",
    "rsa_pkcs1_sha256",
    "ecdsa_secp384r1_sha384",
    "rsa_pss_rsae_sha384",
    "rsa_pkcs1_sha384",
    "rsa_pss_rsae_sha512",
    "rsa_pkcs1_sha512",
)
# On every answer, including the gateway's own: a browser that has seen one never connects without TLS again.
HSTS: Final = ("strict-transport-security", "max-age=31536000")

# The services' limit: larger bodies are refused here, before any of them reaches a service.
MAX_BODY_BYTES: Final = 256 * 1024
# An oversized body is read and discarded up to this size, so that the refusal arrives.
MAX_DRAINED_BYTES: Final = 64 * 1024 * 1024
MAX_HEADER_KIB: Final = 32
MAX_HEADERS: Final = 64
# Bodies of MAX_BODY_BYTES in parallel on one connection; a browser sends about ten requests at once.
MAX_STREAMS: Final = 16
MAX_CONNECTIONS: Final = 2000
# Of a gateway's container. As it fills, Envoy drops load (overload.py).
CONTAINER_MEMORY_MIB: Final = 512
# Each method name is a value in metrics and logs, so methods that no service answers are refused here.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUEST_SECONDS: Final = 30
HEADERS_SECONDS: Final = 10
IDLE_SECONDS: Final = 60

# Limits for one client address (of IPv6: one /64, since a client has all of its addresses) at each gateway. Not on one
# machine, where all clients have the same address. A pod of the portal is one client of the API for all its users: the
# limit allows what a pod requests before it is doubled (at 0.175 CPU).
IPV6_PREFIX: Final = 64
# Clients, and tokens, that are counted at the same time; the one not seen for longest is dropped.
MAX_LIMITED_CLIENTS: Final = 10_000
REQUESTS_A_MINUTE: Final = {
    API_HOST: 3000,
    SIGN_IN_HOST: 60,
    SIGN_IN_TLS_1_2_HOST: 60,
    BACK_OFFICE_HOST: 600,
    PORTAL_HOST: 600,
    DESK_HOST: 600,
    PUBLICATION_HOST: 600,
}

# A check of a domain has every perspective ask its name servers and web server, machines of strangers. Counted by
# access token, not by address: a pod of the portal, and an office, is one address for many callers. Issuance refuses a
# token that is not valid, and serves subscribers in turn, so that many tokens of one delay no other. The portal's form
# asks for 20 checks at most.
RARE_REQUESTS: Final = {
    API_HOST: RareRequest(
        name="domain-checks", method="POST", path=r"/issuance/v1/domains/[^/?]+/checks", burst=40, interval_seconds=1
    ),
}

# Status → slug and title of the gateway's own problems.
PROBLEMS: Final = {
    400: ("bad-request", "Malformed request"),
    404: ("not-found", "No resource at this address"),
    405: ("method-not-allowed", "Method not allowed"),
    408: ("request-timeout", "Request not received in time"),
    413: ("body-too-large", "Request body larger than 256 KiB"),
    421: ("misdirected-request", "Connection is not for this host"),
    429: ("too-many-requests", "Too many requests; try again in a minute"),
    431: ("headers-too-large", "Request headers too large"),
    503: ("unavailable", "Temporarily unavailable; try again later"),
    504: ("timeout", "No answer in time; try again later"),
}
# Pages of the gateway itself where people read: status → what to do, in each language.
PAGE_LANGUAGES: Final = ("en", "zh-Hant-HK", "zh-Hans")
PAGES: Final = {
    413: (
        "The file is too large. Go back and send a smaller one.",
        "檔案太大。請返回上一頁，傳送較小的檔案。",
        "文件太大。请返回上一页，发送较小的文件。",
    ),
    503: (
        "The service cannot answer just now. Nothing that you sent before is lost: load the page again in a moment.",
        "服務暫時未能回應。你先前提交的資料不會遺失：請稍後重新載入本頁。",
        "服务暂时无法响应。您先前提交的资料不会丢失：请稍后重新加载本页。",
    ),
}
OTHER_PAGE: Final = (
    "This page cannot be shown. Start again from the start page.",
    "未能顯示本頁。請由首頁重新開始。",
    "无法显示本页。请从首页重新开始。",
)
