"""Settings of the portal, and its messages if some are missing."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from portal import settings
from shared.settings import SettingsError

NEEDED = {
    "ENVIRONMENT": "local",
    "PORTAL_URL": "https://portal.ecert.localhost:8443",
    "API_URL": "https://api.ecert.localhost:8443",
    "SIGN_IN_URL": "https://signin.ecert.localhost:8443",
    "TOKEN_SIGN_IN_URL": "https://signin.ecert.localhost:8443",
}


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    keys = tmp_path / "keys"
    keys.write_bytes(Fernet.generate_key() + b"\n" + Fernet.generate_key() + b"\n")
    monkeypatch.setenv("PORTAL_SESSION_KEYS_FILE", str(keys))
    return keys


def test_names_of_ca_and_operator_have_defaults() -> None:
    found = settings.read()
    assert (found.ca_name, found.operator_name) == ("Hongkong Post e-Cert", "Certizen Limited")


def test_every_missing_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NEEDED, "PORTAL_SESSION_KEYS_FILE"):
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError) as refused:
        settings.read()
    assert all(name in str(refused.value) for name in (*NEEDED, "PORTAL_SESSION_KEYS_FILE"))


@pytest.mark.parametrize("url", ["http://portal.example", "https://portal.example/path", "portal.example"])
def test_address_is_https_and_has_no_path(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PORTAL_URL", url)
    with pytest.raises(SettingsError):
        settings.read()


def test_cookie_of_an_older_key_is_decrypted_after_a_rotation(given: Path) -> None:
    older, newer = Fernet.generate_key(), Fernet.generate_key()
    given.write_bytes(newer + b"\n" + older + b"\n")
    assert settings.read().session_keys.decrypt(Fernet(older).encrypt(b"session")) == b"session"


def test_file_without_keys_is_refused(given: Path) -> None:
    given.write_text("no key\n")
    with pytest.raises(SettingsError):
        settings.read()
