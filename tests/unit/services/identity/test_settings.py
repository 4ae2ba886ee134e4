"""Addresses to which a sign-in may redirect."""

import pytest

from services.identity import settings
from shared.settings import SettingsError

ENVIRONMENT = {
    "IDENTITY_DATABASE_URL": "postgresql://identity@127.0.0.1/identity",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "ENVIRONMENT": "local",
    "AUDIT_KEY_FILE": "audit.key",
    "FINGERPRINT_KEY_FILE": "fingerprint.key",
    "IDENTITY_JWKS_FILE": "jwks.json",
    "IDENTITY_SIGNING_KEY_FILE": "signing.key",
    "APPLICATION_JWKS_FILE": "application.json",
    "CLIENT_TRUST_DIR": "trust",
    "CLIENT_CRLS": "crls",
    "ECERT_ORGANISATIONAL_POLICY_OIDS": "1.3.6.1.4.1.16030.1.1.17.2",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_redirect_addresses_are_read_verbatim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_REDIRECT_URIS", "https://portal.example:8443/signed-in, https://portal.example/b")

    told = settings.read_settings()

    assert told.redirect_uris == ("https://portal.example:8443/signed-in", "https://portal.example/b")
    assert told.origin == "https://portal.example:8443"


def test_identity_does_not_start_without_redirect_addresses() -> None:
    with pytest.raises(SettingsError, match="PORTAL_REDIRECT_URIS"):
        settings.read_settings()


@pytest.mark.parametrize(
    "uri",
    [
        "",
        ",",
        "/signed-in",
        "http://portal.example/signed-in",
        "https:///signed-in",
        "https://user@portal.example/signed-in",
        "https://portal.example/signed-in?next=/",
        "https://portal.example/signed-in#top",
        "https://例子.example/signed-in",
    ],
)
def test_malformed_redirect_address_is_named(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("PORTAL_REDIRECT_URIS", uri)

    with pytest.raises(SettingsError, match="PORTAL_REDIRECT_URIS"):
        settings.read_settings()
