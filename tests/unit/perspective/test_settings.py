"""Settings of a perspective."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from perspective import settings
from shared.settings import SettingsError

GOOD = {
    "ENVIRONMENT": "production",
    "BIND": "0.0.0.0:8443",
    "TLS_CERTIFICATE_FILE": "/tls/tls.crt",
    "TLS_KEY_FILE": "/tls/tls.key",
    "TLS_CLIENT_CA_FILE": "/tls/ca.crt",
    "PERSPECTIVE_NAME": "hkg",
    "RESOLVER_ADDRESS": "127.0.0.1:53",
}


def read(monkeypatch: pytest.MonkeyPatch, **given: str) -> settings.Settings:
    for name, value in {**GOOD, **given}.items():
        monkeypatch.setenv(name, value)
    return settings.read()


def test_settings_for_production_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch)
    assert (found.name, found.resolver, found.timeout) == ("hkg", ("127.0.0.1", 53), 12.0)
    assert found.web.tls is not None
    assert found.web.tls.client_ca == Path("/tls/ca.crt")
    assert (found.local.ports, found.local.networks) == ({}, ())


def test_resolver_may_have_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, RESOLVER_ADDRESS="[::1]:5353").resolver == ("::1", 5353)


def test_local_system_may_map_ports_and_permit_its_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, ENVIRONMENT="local", LOCAL_PORTS="8080,8443", LOCAL_NETWORKS="127.0.1.0/24,::1/128")
    assert found.local.ports == {80: 8080, 443: 8443}
    assert found.local.networks == (ip_network("127.0.1.0/24"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"LOCAL_PORTS": "8080,8443"}, "LOCAL_PORTS"),
        ({"LOCAL_NETWORKS": "127.0.0.0/8"}, "LOCAL_NETWORKS"),
        ({"ENVIRONMENT": "local", "LOCAL_PORTS": "8080"}, "LOCAL_PORTS"),
        ({"ENVIRONMENT": "local", "LOCAL_NETWORKS": "127.0.0.1/8"}, "LOCAL_NETWORKS"),
        ({"ENVIRONMENT": "test"}, "ENVIRONMENT"),
        ({"RESOLVER_ADDRESS": "unbound:53"}, "RESOLVER_ADDRESS"),
        ({"RESOLVER_ADDRESS": "127.0.0.1"}, "RESOLVER_ADDRESS"),
        ({"RESOLVER_ADDRESS": "127.0.0.1:0"}, "RESOLVER_ADDRESS"),
        ({"RESOLVER_ADDRESS": "127.0.0.1:65536"}, "RESOLVER_ADDRESS"),
        ({"PERSPECTIVE_NAME": "Hong Kong"}, "PERSPECTIVE_NAME"),
        ({"OBSERVATION_TIMEOUT": "60"}, "OBSERVATION_TIMEOUT"),
        ({"TLS_CERTIFICATE_FILE": "", "TLS_KEY_FILE": "", "TLS_CLIENT_CA_FILE": ""}, "TLS_CERTIFICATE_FILE"),
    ],
)
def test_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read(monkeypatch, **given)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"BIND"}))
def test_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each, value in GOOD.items():
        monkeypatch.setenv(each, value)
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=name):
        settings.read()
