"""HTTP filters and header rules of the gateway, the same on one machine and in the cluster."""

from pathlib import Path
from typing import Any, Final

from deploy.gateway.rules import (
    CLIENTS_IDS,
    FORGEABLE_PREFIXES,
    HSTS,
    IPV6_PREFIX,
    MAX_BODY_BYTES,
    MAX_DRAINED_BYTES,
    MAX_HEADER_KIB,
    MAX_HEADERS,
    MAX_LIMITED_CLIENTS,
    METHODS,
    RARE_REQUESTS,
    REQUESTS_A_MINUTE,
    TRACE_HEADERS,
    RareRequest,
)

_TYPE: Final = "type.googleapis.com/envoy.extensions"
_LIMITS: Final = Path(__file__).with_name("limits.lua")
_LIMITS_NAMESPACE: Final = "ecert.limits"
# What a rare request is counted by; without a token it is not counted, and issuance refuses it.
_CALLER: Final = "access-token"
_BY_TOKEN: Final = {"request_headers": {"header_name": "authorization", "descriptor_key": _CALLER}}


def refusal(status: int, **match: Any) -> dict[str, Any]:
    """Return a route that answers matching requests with this status."""
    return {"match": {"prefix": "/", **match}, "direct_response": {"status": status}}


def too_large() -> dict[str, Any]:
    """Return the first route: requests that limits.lua found too large, once they are read."""
    found = {"filter": _LIMITS_NAMESPACE, "path": [{"key": "body"}], "value": {"string_match": {"exact": "too-large"}}}
    return refusal(413, dynamic_metadata=[found])


def limits() -> dict[str, Any]:
    """Return the filter that answers oversized requests with a problem; it precedes all filters
    that would reset them.
    """
    numbers = {
        "MAX_HEADERS": MAX_HEADERS,
        "MAX_HEADER_BYTES": MAX_HEADER_KIB * 1024,
        "MAX_BODY_BYTES": MAX_BODY_BYTES,
        "MAX_DRAINED_BYTES": MAX_DRAINED_BYTES,
        "NAMESPACE": f'"{_LIMITS_NAMESPACE}"',
        "ALLOW": f'"{", ".join(METHODS)}"',
        "METHODS": "{" + ", ".join(f"{method} = true" for method in METHODS) + "}",
    }
    head = "".join(f"local {name} = {value}\n" for name, value in numbers.items())
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": head + _LIMITS.read_text("utf-8")},
        },
    }


def early_headers() -> dict[str, Any]:
    """Return the first rule for each request: removes forgeable headers, and renames a client's own ids."""
    removals = [
        {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}} for prefix in FORGEABLE_PREFIXES
    ]
    mine = [{"remove": name} for name in CLIENTS_IDS.values()]
    renamed = [_set_header(new, f"%REQ({old})%") for old, new in CLIENTS_IDS.items()]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [*removals, *mine, *renamed, *({"remove": name} for name in ("x-request-id", *TRACE_HEADERS))],
        },
    }


def _set_header(name: str, value: str) -> dict[str, Any]:
    return {"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def hsts() -> dict[str, Any]:
    """Return the filter that adds HSTS to the services' answers; replies.py adds it to the gateway's own."""
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"response_mutations": [_set_header(*HSTS)]},
        },
    }


def rate_limit(host: str) -> dict[str, Any]:
    """Return the filter that counts requests by client: by address, or for IPv6 by its /64.

    The host's rare requests are counted once more, by access token.
    """
    bucket = {"max_tokens": REQUESTS_A_MINUTE[host], "tokens_per_fill": REQUESTS_A_MINUTE[host], "fill_interval": "60s"}
    client = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": IPV6_PREFIX}}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    rare = [RARE_REQUESTS[host]] if host in RARE_REQUESTS else []
    return {
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "clients",
            "filter_enabled": always,
            "filter_enforced": always,
            "max_dynamic_descriptors": MAX_LIMITED_CLIENTS,
            "rate_limits": [{"actions": [client]}, *({"actions": [_is_rare(each), _BY_TOKEN]} for each in rare)],
            "descriptors": [
                {"entries": [{"key": "masked_remote_address"}], "token_bucket": bucket},
                *map(_rare_bucket, rare),
            ],
            # Unlimited; every request matches a descriptor.
            "token_bucket": {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"},
        },
    }


def _is_rare(rare: RareRequest) -> dict[str, Any]:
    headers = [
        {"name": ":method", "string_match": {"exact": rare.method}},
        {"name": ":path", "string_match": {"safe_regex": {"regex": rf"{rare.path}(\?.*)?"}}},
    ]
    return {"header_value_match": {"descriptor_value": rare.name, "headers": headers}}


def _rare_bucket(rare: RareRequest) -> dict[str, Any]:
    return {
        "entries": [{"key": "header_match", "value": rare.name}, {"key": _CALLER}],
        "token_bucket": {
            "max_tokens": rare.burst,
            "tokens_per_fill": 1,
            "fill_interval": f"{rare.interval_seconds}s",
        },
    }
