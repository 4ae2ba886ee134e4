"""The real processes, composed from settings."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.issuance import main, validate_main
from services.issuance.csr.csr import read
from services.issuance.settings import read_settings
from shared.runtime.command_line import run
from shared.settings import SettingsError
from tests.integration.services.issuance.world import World
from tests.integration.services.issuance.zone import SET_JSON
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der, ec_key
from tests.unit.services.issuance.test_weak_keys import written


def test_processes_are_built_from_the_settings(
    world: World, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tasks = [name for name, _ in main.SERVICE.tasks(world.pool)]
    assert tasks == ["seal-pin", "issue", "publish-crl", "answer-cancellation"]
    assert main.SERVICE.subscriptions is not None
    assert len(main.SERVICE.subscriptions()) == 2
    client = main.SERVICE.make_app(world.pool).test_client()
    assert client.get("/issuance/v1/ca-certificate").data == world.issuer.ca.der
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(SettingsError) as refused:
        read_settings()
    for name in ("CA_KEY_FILE: production signs in a token", "WEAK_KEYS_FILE"):
        assert name in str(refused.value)


def test_list_of_weak_keys_is_read_if_configured(
    world: World, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEAK_KEYS_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match="WEAK_KEYS_FILE"):
        main.make_deps(read_settings())
    key = ec_key()
    monkeypatch.setenv("WEAK_KEYS_FILE", str(written(tmp_path / "list", [key])))
    policy = main.make_deps(read_settings()).key_policy
    assert policy.weak_keys.has(read(as_pem(csr_der(key))).spki)


def test_every_missing_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(SettingsError) as refused:
        read_settings()
    for name in ("CA_KEY_FILE", "PIN_PEPPER_FILE", "SERIAL_SITE_PREFIX", "ISSUANCE_DATABASE_URL", "CRL_URL"):
        assert name in str(refused.value)


def test_operator_commands_work_and_are_audited(
    world: World, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    renewal = world.issued(["www.example.hk"])
    waiting = world.opened(["b.example.hk"])
    (serial, spki) = world.rows("SELECT serial, spki_sha256 FROM certificates")[0]
    order = waiting.items[0].reference
    run(main.SERVICE, ["reissue-pin", order, "b.example.hk", "--reason", "lost", "--actor", "ops"])
    run(main.SERVICE, ["revoke", f"0x0{serial.upper()}", "--reason", "superseded", "--actor", "ops"])
    run(main.SERVICE, ["block-key", spki.hex(), "--source", "reported", "--actor", "ops"])
    with pytest.raises(SystemExit, match="certificate-not-found"):
        run(main.SERVICE, ["revoke", "ff", "--actor", "ops"])
    with pytest.raises(SystemExit, match="serial-unreadable"):
        run(main.SERVICE, ["revoke", "no number", "--actor", "ops"])
    assert "superseded" in capsys.readouterr().out
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-revoked"
    actions = world.rows("SELECT action FROM audit_log WHERE actor = 'ops' ORDER BY id")
    revoked = ("certificate-revoked",)  # for a graver reason, the second time
    assert actions == [("pin-reissued",), revoked, ("key-blocked",), revoked]


FIVE_FROM = datetime(2026, 12, 15, tzinfo=UTC)
Entries = list[dict[str, Any]]


def of_one_region(entries: Entries) -> Entries:
    return [entry | {"rir": "APNIC"} for entry in entries]


def too_near(entries: Entries) -> Entries:
    place = {name: entries[-2][name] for name in ("latitude", "longitude")}
    return [*entries[:-1], entries[-1] | place]


@pytest.mark.parametrize(
    ("change", "at", "refusal"),
    [
        (lambda entries: entries, FIVE_FROM, None),
        (lambda entries: entries[:-1], FIVE_FROM - timedelta(seconds=1), None),
        (lambda entries: entries[:-1], FIVE_FROM, "PERSPECTIVES_FILE: 4 remote perspectives: at least 5"),
        (of_one_region, FIVE_FROM, "PERSPECTIVES_FILE: the remote perspectives are in fewer than 2 regions"),
        (too_near, FIVE_FROM, "PERSPECTIVES_FILE: gru and jnb are 0 km apart"),
    ],
)
def test_validate_does_not_start_with_perspectives_that_the_rules_of_the_day_refuse(
    world: World,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Entries], Entries],
    at: datetime,
    refusal: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Path(environment["PERSPECTIVES_FILE"]).write_text(json.dumps(change(json.loads(SET_JSON))))
    # What the table allows is refused for its next fault: the files that only a `validate` has are not configured.
    with pytest.raises(SettingsError, match=refusal or "^PERSPECTIVES_CA_FILE"):
        validate_main.make_deps(clock=lambda: at)
    if change in (of_one_region, too_near):
        with pytest.raises(SettingsError, match=refusal):
            validate_main.tasks(world.pool)
