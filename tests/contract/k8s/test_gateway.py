"""The gateway of the cluster keeps the rules of deploy/gateway/rules.py."""

import json
from typing import Any

import pytest

from deploy.gateway import overload, rules
from deploy.gateway.filters import rate_limit
from deploy.k8s import generated
from tests.contract.k8s.rendering import Object, Rendered, environment, name

NAMES = {
    "api": "api.ecert.example.hk",
    "sign-in": "signin.ecert.example.hk",
    "sign-in-token": "signin-token.ecert.example.hk",
    "back-office": "backoffice.ecert.example.hk",
    "portal": "portal.ecert.example.hk",
    "desk": "desk.ecert.example.hk",
}
HOSTS = {
    which: host
    for which, full in NAMES.items()
    for host in rules.hosts()
    if host.name.split(".")[0] == full.split(".")[0]
}


@pytest.fixture(params=generated.LISTENERS)
def listener(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def seconds(value: int) -> str:
    return f"{value}s"


def test_each_host_has_a_listener_and_a_certificate_of_its_own(production: Rendered) -> None:
    assert set(HOSTS.values()) == set(rules.hosts())
    assert set(NAMES) == set(generated.LISTENERS)
    listeners = [each for each in production.one("Gateway", "ecert")["spec"]["listeners"] if "tls" in each]
    assert {each["name"]: each["hostname"] for each in listeners} == NAMES
    assert {each["port"] for each in listeners} == {443}
    certificates = [each["tls"]["certificateRefs"][0]["name"] for each in listeners]
    assert len(set(certificates)) == len(listeners), "browsers would take one connection for several hosts"


def routed(rule: Object) -> str | None:
    """Return where a rule leads: a service, or nowhere."""
    if "filters" in rule:
        (found,) = rule["filters"]
        assert found["extensionRef"]["kind"] == "HTTPRouteFilter"
        return None
    (backend,) = rule["backendRefs"]
    assert backend["port"] == 8443
    assert rule["timeouts"] == {"request": seconds(rules.REQUEST_SECONDS)}
    return next(each for each in rules.BACKENDS if generated.service_of(each) == backend["name"])


def test_routes_are_those_of_the_rules(production: Rendered, listener: str) -> None:
    route, host = production.one("HTTPRoute", listener)["spec"], HOSTS[listener]
    assert route["hostnames"] == [NAMES[listener]]
    assert [each["sectionName"] for each in route["parentRefs"]] == [listener]
    found = {
        (match["path"]["type"] == "PathPrefix", match["path"]["value"]): routed(rule)
        for rule in route["rules"]
        for match in rule["matches"]
    }
    wanted: dict[tuple[bool, str], str | None] = {(False, path): None for path in host.closed_paths}
    wanted |= {(True, "/"): None} | {(route.prefix, route.path): route.service for route in host.routes}
    assert found == wanted


def test_published_files_alone_are_served_without_tls(production: Rendered) -> None:
    rule = rules.publication()
    (plain,) = (each for each in production.one("Gateway", "ecert")["spec"]["listeners"] if "tls" not in each)
    assert (plain["protocol"], plain["port"], plain["hostname"]) == ("HTTP", 80, rule.name)
    route = production.one("HTTPRoute", "publication")["spec"]
    assert ([each["sectionName"] for each in route["parentRefs"]], route["hostnames"]) == (["publication"], [rule.name])
    *leading, rest = route["rules"]
    assert routed(rest) is None
    assert [each["matches"][0]["path"]["value"] for each in route["rules"]] == [*(r.path for r in rule.routes), "/"]
    for each, wanted in zip(leading, rule.routes, strict=True):
        (rewrite,) = each["filters"]
        assert rewrite["urlRewrite"]["path"] == {
            "type": "ReplacePrefixMatch",
            "replacePrefixMatch": wanted.replaced_by,
        }
        assert each["backendRefs"] == [{"name": generated.service_of(wanted.service), "port": 8443}]
    client, limits = (
        production.one(kind, "publication")["spec"] for kind in ("ClientTrafficPolicy", "BackendTrafficPolicy")
    )
    other = production.one("ClientTrafficPolicy", "api")["spec"]
    assert {**client, "tls": other["tls"], "targetRefs": other["targetRefs"]} == other
    assert limits["requestBuffer"] == {"limit": f"{rules.MAX_BODY_BYTES // 1024}Ki"}
    settings = environment(production, production.one("Deployment", "issuance-web"))
    for variable in ("CRL_URL", "CA_ISSUERS_URL"):
        assert settings[variable].startswith(f"http://{rule.name}/")


def test_closed_route_gets_the_gateways_own_answer(production: Rendered) -> None:
    slug, title = rules.PROBLEMS[404]
    answer = production.one("HTTPRouteFilter", "nothing-here")["spec"]["directResponse"]
    assert (answer["statusCode"], answer["contentType"]) == (404, "application/problem+json")
    assert slug in answer["body"]["inline"]
    assert title in answer["body"]["inline"]


def test_certificate_is_asked_for_where_the_rules_say(production: Rendered, listener: str) -> None:
    spec = production.one("ClientTrafficPolicy", listener)["spec"]
    assert [each["sectionName"] for each in spec["targetRefs"]] == [listener]
    header = spec["headers"]["xForwardedClientCert"]
    if (clients := HOSTS[listener].clients) is not None:
        (authorities,) = spec["tls"]["clientValidation"]["caCertificateRefs"]
        assert authorities["name"] == generated.CLIENT_CAS[clients]
        assert spec["tls"]["clientValidation"]["optional"] is True
        assert header == {"mode": "SanitizeSet", "certDetailsToAdd": ["Cert"]}
    else:
        assert "clientValidation" not in spec["tls"]
        assert header == {"mode": "Sanitize"}


def test_headers_that_could_be_forged_are_removed(production: Rendered, listener: str) -> None:
    removed = production.one("ClientTrafficPolicy", listener)["spec"]["headers"]["earlyRequestHeaders"]
    assert removed["remove"] == [*rules.FORGEABLE_HEADERS]
    assert removed["removeOnMatch"] == [{"type": "Prefix", "value": each} for each in rules.FORGEABLE_PREFIXES]


def test_limits_are_those_of_the_rules(production: Rendered, listener: str) -> None:
    client = production.one("ClientTrafficPolicy", listener)["spec"]
    assert client["timeout"]["http"] == {
        "requestReceivedTimeout": seconds(rules.REQUEST_SECONDS),
        "streamIdleTimeout": seconds(rules.REQUEST_SECONDS),
        "idleTimeout": seconds(rules.IDLE_SECONDS),
    }
    assert client["connection"]["connectionLimit"] == {"value": rules.MAX_CONNECTIONS}
    assert client["headers"]["withUnderscoresAction"] == "DropHeader"
    assert client["path"] == {"escapedSlashesAction": "RejectRequest"}
    backend = production.one("BackendTrafficPolicy", listener)["spec"]
    assert backend["requestBuffer"] == {"limit": f"{rules.MAX_BODY_BYTES // 1024}Ki"}
    assert backend["timeout"]["http"] == {"connectionIdleTimeout": "1s"}


def patched(production: Rendered, listener: str) -> dict[str, Any]:
    """Return what the patches put where in a listener's HTTP and in its routes."""
    found: dict[str, Any] = {}
    for patch in production.one("EnvoyPatchPolicy", "ecert")["spec"]["jsonPatches"]:
        operation = patch["operation"]
        is_chain = f'filter_chains[?(@.name=="ecert/ecert/{listener}")].filters' in operation.get("jsonPath", "")
        is_routes = (patch["type"].rpartition(".")[2], patch["name"]) == (
            "RouteConfiguration",
            f"ecert/ecert/{listener}",
        )
        if is_chain or is_routes:
            assert operation["op"] == "add"
            found[operation["path"]] = operation["value"]
    return found


def test_too_large_request_is_refused_by_the_same_filter_with_the_same_answer(
    production: Rendered, listener: str
) -> None:
    (local,) = (
        chain["filters"][0]["typed_config"]
        for chain in json.loads(generated.dev_gateway())["static_resources"]["listeners"][0]["filter_chains"]
        if chain["name"] == HOSTS[listener].name
    )
    refusals = [each for each in local["http_filters"] if each["name"] == "envoy.filters.http.lua"]
    hsts = [each for each in local["http_filters"] if each["name"] == "envoy.filters.http.header_mutation"]
    assert patched(production, listener) == {
        "/local_reply_config": local["local_reply_config"],
        "/max_request_headers_kb": local["max_request_headers_kb"],
        "/request_headers_timeout": local["request_headers_timeout"],
        "/common_http_protocol_options/max_headers_count": local["common_http_protocol_options"]["max_headers_count"],
        # Before Envoy Gateway's own filters: its buffer would break off.
        "/early_header_mutation_extensions/0": local["early_header_mutation_extensions"][0],
        "/http_filters/0": hsts[0],
        "/http_filters/1": rate_limit(HOSTS[listener].name),
        "/http_filters/2": refusals[0],
        "/virtual_hosts/0/routes/0": local["route_config"]["virtual_hosts"][0]["routes"][0],
    }


def test_rate_limit_of_each_client_is_that_of_the_rules(production: Rendered, listener: str) -> None:
    limit = patched(production, listener)["/http_filters/1"]["typed_config"]
    host = HOSTS[listener].name
    each, *rare = limit["descriptors"]
    assert each["token_bucket"]["max_tokens"] == rules.REQUESTS_A_MINUTE[host]
    client = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
    assert limit["rate_limits"][0] == {"actions": [client]}
    wanted = [rules.RARE_REQUESTS[host].burst] if host in rules.RARE_REQUESTS else []
    assert [each["token_bucket"]["max_tokens"] for each in rare] == wanted
    by_token = {"request_headers": {"header_name": "authorization", "descriptor_key": "access-token"}}
    assert [each["actions"][1] for each in limit["rate_limits"][1:]] == [by_token for _ in wanted]
    # One count alone: the operator's own tells IPv6 addresses apart one by one.
    assert "rateLimit" not in production.one("BackendTrafficPolicy", listener)["spec"]


def test_memory_and_signature_algorithms_are_limited_as_on_one_machine(production: Rendered, listener: str) -> None:
    client = production.one("ClientTrafficPolicy", listener)["spec"]
    assert client["tls"].get("maxVersion") == ("1.2" if HOSTS[listener].newest_is_tls_1_2 else None)
    assert client["http2"]["maxConcurrentStreams"] == rules.MAX_STREAMS
    assert client["tls"]["signatureAlgorithms"] == [*rules.SIGNATURE_ALGORITHMS]
    proxy = production.one("EnvoyProxy", "ecert")["spec"]
    (patch,) = proxy["bootstrap"]["jsonPatches"]
    assert patch == {"op": "replace", "path": "/overload_manager", "value": overload.manager()}
    memory = proxy["provider"]["kubernetes"]["envoyDeployment"]["container"]["resources"]["limits"]["memory"]
    assert memory == f"{rules.CONTAINER_MEMORY_MIB}Mi"


def test_resets_of_streams_go_on_until_the_containers_memory_is_full() -> None:
    """Envoy resets only while the scaled value changes, so not from saturation on."""
    manager = overload.manager()
    (heap,) = (each for each in manager["resource_monitors"] if each["name"].endswith("fixed_heap"))
    assert heap["typed_config"]["max_heap_size_bytes"] == rules.CONTAINER_MEMORY_MIB * 1024 * 1024
    (reset,) = (each for each in manager["actions"] if each["name"].endswith("reset_high_memory_stream"))
    assert [trigger["scaled"]["saturation_threshold"] for trigger in reset["triggers"]] == [1.0]


def test_only_requests_that_never_reached_a_service_are_retried(production: Rendered, listener: str) -> None:
    retry = production.one("BackendTrafficPolicy", listener)["spec"]["retry"]
    assert set(retry["retryOn"]["triggers"]) == {"connect-failure", "refused-stream", "reset-before-request"}
    assert "httpStatusCodes" not in retry["retryOn"]


def test_gateway_and_services_authenticate_each_other(production: Rendered) -> None:
    proxy = production.one("EnvoyProxy", "ecert")["spec"]
    assert proxy["backendTLS"]["clientCertificateRef"]["name"] == "gateway-client-tls"
    client = production.one("Certificate", "gateway-client")["spec"]
    assert (client["issuerRef"]["name"], client["usages"]) == ("gateway", ["client auth"])
    backends: dict[str, Any] = {name(each): each["spec"] for each in production.of("BackendTLSPolicy")}
    assert set(backends) == {generated.service_of(route.service) for host in HOSTS.values() for route in host.routes}
    for which, spec in backends.items():
        certificate = production.one("Certificate", which)["spec"]
        assert certificate["issuerRef"]["name"] == "services"
        assert certificate["dnsNames"] == [spec["validation"]["hostname"]] == [which]
        assert spec["validation"]["caCertificateRefs"][0]["name"] == "services-ca"


def test_gateway_ca_issues_only_the_gateways_certificate(production: Rendered) -> None:
    issued = [name(each) for each in production.of("Certificate") if each["spec"]["issuerRef"]["name"] == "gateway"]
    assert issued == ["gateway-client"]


def test_host_names_are_the_same_everywhere(production: Rendered) -> None:
    told = {
        variable: value
        for each in production.of("Deployment")
        for variable, value in environment(production, each).items()
    }
    assert told["API_URL"] == f"https://{NAMES['api']}"
    assert told["SIGN_IN_URL"] == f"https://{NAMES['sign-in']}"
    assert told["TOKEN_SIGN_IN_URL"] == f"https://{NAMES['sign-in-token']}"
    assert told["PORTAL_URL"] == f"https://{NAMES['portal']}"
    assert told["PORTAL_REDIRECT_URIS"].startswith(f"https://{NAMES['portal']}/")
    assert told["PAYMENT_RETURN_URL"].startswith(f"https://{NAMES['portal']}/")


def test_generated_configuration_is_up_to_date() -> None:
    for path, content in generated.files().items():
        assert path.read_text("utf-8") == content, f"{path.name}: run `make docs`"
