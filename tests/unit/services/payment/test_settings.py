"""Payment's settings name what is missing, and production never runs on the sandbox."""

import pytest

from services.payment.settings import read_settings
from shared.settings import SettingsError

GOOD = {
    "ENVIRONMENT": "production",
    "PAYMENT_DATABASE_URL": "postgresql://payment@db/payment",
    "IDENTITY_JWKS_FILE": "/keys/identity.json",
    "AUDIT_KEY_FILE": "/keys/audit.pem",
    "FINGERPRINT_KEY_FILE": "fingerprint.key",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "PAYMENT_SIGNING_KEY_FILE": "/keys/payment.pem",
    "PAYMENT_JWKS_FILE": "/keys/payment.json",
    "PAYMENT_PROVIDER_URL": "https://provider.example/",
    "PAYMENT_PROVIDER_API_KEY": "sk_live_1",
    "PAYMENT_WEBHOOK_SECRETS": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "PAYMENT_RETURN_URL": "https://portal.ecert.example/renewals/{renewal_id}",
}
SANDBOX = {"PAYMENT_PROVIDER_URL": "http://127.0.0.1:7000", "PAYMENT_PROVIDER_API_KEY": "sk_sandbox_1"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_good_settings_are_read(environment: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    assert (settings.is_production, settings.provider_url) == (True, "https://provider.example")


@pytest.mark.parametrize("name", SANDBOX)
def test_production_refuses_the_sandbox(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, SANDBOX[name])
    with pytest.raises(SettingsError, match=name):
        read_settings()


def test_local_system_runs_on_the_sandbox(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ENVIRONMENT", "local")
    for name, value in SANDBOX.items():
        environment.setenv(name, value)
    assert not read_settings().is_production


def test_every_missing_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    missing = [name for name in GOOD if name.startswith("PAYMENT_")]
    for name in missing:
        environment.delenv(name)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert [name for name in missing if name not in str(caught.value)] == []


@pytest.mark.parametrize("secrets", ["", "secret", "whsec_QUFB"])
def test_bad_webhook_secret_is_named(environment: pytest.MonkeyPatch, secrets: str) -> None:
    environment.setenv("PAYMENT_WEBHOOK_SECRETS", secrets)
    with pytest.raises(SettingsError, match="PAYMENT_WEBHOOK_SECRETS"):
        read_settings()


def test_no_secret_is_in_the_settings_text(environment: pytest.MonkeyPatch) -> None:
    text = repr(read_settings())
    assert "sk_live_1" not in text
    assert "MfKQ" not in text
