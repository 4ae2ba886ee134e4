"""Settings of the days that a renewal takes, and of its reminders."""

from pathlib import Path

import pytest

from services.application.settings import read_settings
from shared.settings import SettingsError


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    file = tmp_path / "file"
    file.write_text("{}")
    for name in (
        "IDENTITY_JWKS_FILE",
        "APPLICATION_SIGNING_KEY_FILE",
        "APPLICATION_JWKS_FILE",
        "AUDIT_KEY_FILE",
        "FINGERPRINT_KEY_FILE",
    ):
        monkeypatch.setenv(name, str(file))
    monkeypatch.setenv("ENVIRONMENT", "local")
    monkeypatch.setenv("APPLICATION_DATABASE_URL", "postgresql://application@127.0.0.1/application")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    return monkeypatch


def test_defaults_are_a_month_of_lead_time_and_six_reminders(environment: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    assert settings.lead.total == 18
    assert settings.reminder_days == (90, 60, 30, 14, 7, 1)


def test_days_are_read_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REMINDER_DAYS", "45,10")
    environment.setenv("VALIDATION_WORKING_DAYS", "5")
    settings = read_settings()
    assert settings.lead.total == 13
    assert settings.reminder_days == (45, 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REMINDER_DAYS", ""),
        ("REMINDER_DAYS", "-1"),
        ("REMINDER_DAYS", "366"),
        ("REMINDER_DAYS", "ten"),
        ("REMINDER_DAYS", "7,"),
        ("MARGIN_WORKING_DAYS", "61"),
        ("MAIL_WORKING_DAYS", "-1"),
    ],
)
def test_days_out_of_bounds_are_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings()
