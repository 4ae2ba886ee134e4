"""Settings: everything that is wrong is said at once, and no secret is shown."""

import json
from pathlib import Path

import pytest

from shared.settings import SettingsError, TLSFiles, read_env, read_service, read_web, seal, shown

GOOD = {
    "PAYMENT_DATABASE_URL": "postgresql://payment:secret@127.0.0.1/payment",
    "ENVIRONMENT": "local",
    "IDENTITY_JWKS_FILE": "jwks.json",
    "AUDIT_KEY_FILE": "audit.pem",
    "FINGERPRINT_KEY_FILE": "fingerprint.key",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "KAFKA_PASSWORD": "secret",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_every_missing_and_wrong_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        environment.delenv(name)
    environment.setenv("ADMIN_PORT", "eighty")
    env = read_env()
    read_service(env, "payment")
    with pytest.raises(SettingsError) as error:
        seal(env)
    named = str(error.value)
    required = [name for name in GOOD if name != "KAFKA_PASSWORD"]
    assert [name for name in [*required, "ADMIN_PORT"] if name not in named] == []


def test_settings_that_are_complete_are_read_and_hide_their_secrets(environment: pytest.MonkeyPatch) -> None:
    env = read_env()
    settings = read_service(env, "payment")
    seal(env)
    assert settings.kafka.password == "secret"
    assert "secret" not in repr(settings)
    assert "secret" not in json.dumps(shown(settings))
    assert shown(settings)["database"] == "payment@127.0.0.1/payment"


def test_unknown_log_level_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LOG_LEVEL", "LOUD")
    env = read_env()
    read_service(env, "payment")
    with pytest.raises(SettingsError, match="LOG_LEVEL"):
        seal(env)


def test_web_process_has_all_its_certificates_or_none(environment: pytest.MonkeyPatch) -> None:
    assert read_web(read_env()).tls is None
    environment.setenv("TLS_CLIENT_CA_FILE", "gateway-ca.pem")
    env = read_env()
    read_web(env)
    with pytest.raises(SettingsError, match=r"(?s)TLS_CERTIFICATE_FILE.*TLS_KEY_FILE"):
        seal(env)
    environment.setenv("TLS_CERTIFICATE_FILE", "tls.pem")
    environment.setenv("TLS_KEY_FILE", "tls.key")
    assert read_web(read_env()).tls == TLSFiles(Path("tls.pem"), Path("tls.key"), Path("gateway-ca.pem"))


@pytest.mark.parametrize("name", ["prod", "Production", "test", "", " production"])
def test_environment_that_is_neither_local_nor_production_is_refused(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv("ENVIRONMENT", name)
    env = read_env()
    read_service(env, "payment")
    with pytest.raises(SettingsError, match="ENVIRONMENT"):
        seal(env)
