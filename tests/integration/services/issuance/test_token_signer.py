"""The CA's key in a token: SoftHSM stands in for the maker's, whose module is spoken to in the same way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from services.issuance import certificate_issuance, main
from services.issuance.ca import pkcs11_signer
from services.issuance.ca.pkcs11_signer import TokenSigner
from services.issuance.ca.signer import SignerUnavailable
from services.issuance.ct import tbs
from services.issuance.settings import CAToken, read_settings
from shared.settings import SettingsError
from shared.tx import utc_now
from tests.integration.services.issuance.world import World
from tests.support import softhsm
from tests.unit.services.issuance.csr.csrs import ec_key, rsa_key
from tests.unit.services.issuance.pki import issuing_ca
from tests.unit.services.issuance.test_weak_keys import written

CA_KEY: Final = rsa_key(3072, 7)

Store = Callable[..., CAToken]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Puts a key into a token that this process then finds."""
    if not softhsm.is_there():
        pytest.skip(softhsm.MISSING)
    for name, value in softhsm.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    yield lambda key=CA_KEY, **how: softhsm.put(key, tmp_path, **how)
    pkcs11.lib(str(softhsm.MODULE)).finalize()


def signer(place: CAToken, key: rsa.RSAPrivateKey = CA_KEY) -> TokenSigner:
    return TokenSigner(place, key.public_key())


def take_away(tmp_path: Path) -> None:
    """Remove the token, and so end every session."""
    (tmp_path / "tokens").rename(tmp_path / "drawer")
    pkcs11.lib(str(softhsm.MODULE)).finalize()


def bring_back(tmp_path: Path) -> None:
    (tmp_path / "drawer").rename(tmp_path / "tokens")


@pytest.mark.parametrize("length", [1, 1200, 5_000_000])
def test_token_signature_equals_that_of_the_software_key(store: Store, length: int) -> None:
    _, software = issuing_ca()
    in_token = signer(store())
    assert (in_token.algorithm, in_token.spki) == (software.algorithm, software.spki)
    assert in_token.sign(b"x" * length) == software.sign(b"x" * length)


def test_certificates_wait_for_an_unavailable_token(world: World, store: Store, tmp_path: Path) -> None:
    world.issuer = replace(world.issuer, signer=signer(store()))
    world.issued(["first.example.hk"])
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    take_away(tmp_path)
    with pytest.raises(SignerUnavailable):
        world.issue()
    ((intended,),) = world.rows("SELECT tbs FROM intents WHERE state = 'intended'")
    bring_back(tmp_path)
    world.now += certificate_issuance.LEASE
    assert world.issue()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    (der,) = world.rows("SELECT der FROM certificates WHERE renewal_id = %s", renewal.renewal_id)[0]
    certificate = x509.load_der_x509_certificate(der)
    tbs.check_pair(intended, certificate.tbs_certificate_bytes)
    certificate.verify_directly_issued_by(world.issuer.ca.certificate)


def test_refused_token_pin_is_not_tried_again(store: Store) -> None:
    place = store(pin="000000")
    refused = signer(place)
    with pytest.raises(SignerUnavailable, match="PinIncorrect"):
        refused.sign(b"x")
    place.pin_file.write_text(softhsm.PIN)
    refused._pin = softhsm.PIN
    with pytest.raises(SignerUnavailable, match="not tried again"):
        refused.sign(b"x")
    assert signer(place).sign(b"x"), "started again, with the right one"


def test_another_key_under_the_same_label_signs_nothing(store: Store) -> None:
    with pytest.raises(SignerUnavailable, match="not the one of the CA's certificate"):
        signer(store(rsa_key(3072, 8))).sign(b"x")


def test_missing_token_or_key_is_named(store: Store) -> None:
    place = store()
    for other, error in ((replace(place, label="b"), "0 tokens"), (replace(place, object_label="b"), "NoSuchKey")):
        with pytest.raises(SignerUnavailable, match=error):
            signer(other).sign(b"x")


def test_key_that_would_not_repeat_its_signature_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="RSA"):
        TokenSigner(store(), ec_key().public_key())


def test_production_requires_a_token_and_reports_missing_settings_at_start(
    world: World, store: Store, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WEAK_KEYS_FILE", str(written(tmp_path / "list", [ec_key()])))
    monkeypatch.setenv("ENVIRONMENT", "production")
    for name, value in world.transparency.secure().items():
        monkeypatch.setenv(name, value)
    place = store()
    monkeypatch.setenv("CA_TOKEN_MODULE_FILE", str(place.module_file))
    with pytest.raises(SettingsError) as lacking:
        read_settings()
    assert [name in str(lacking.value) for name in ("CA_TOKEN_LABEL", "CA_TOKEN_OBJECT_LABEL", "CA_TOKEN_PIN_FILE")]
    monkeypatch.setenv("CA_TOKEN_LABEL", place.label)
    monkeypatch.setenv("CA_TOKEN_OBJECT_LABEL", place.object_label)
    monkeypatch.setenv("CA_TOKEN_PIN_FILE", str(place.pin_file))
    with pytest.raises(SettingsError, match="not in both"):
        read_settings()
    monkeypatch.delenv("CA_KEY_FILE")
    with monkeypatch.context() as plain:
        plain.setenv("CT_LOG_LIST_FILE", str(world.transparency.list_file))
        with pytest.raises(
            SettingsError, match=r"CT_LOG_LIST_FILE: http://127.0.0.1:\d+/kowloon-1/: not an https address"
        ):
            main.SERVICE.tasks(world.pool)
    tasks = dict(main.SERVICE.tasks(world.pool))
    world.now = utc_now()
    renewal = world.opened(["www.example.hk"])
    world.submit(renewal)
    assert tasks["issue"]()
    assert world.announced_types(renewal.renewal_id)[-1] == "certificate-issued"
    assert tasks["publish-crl"]()


def test_permanent_token_fault_ends_the_start(store: Store, tmp_path: Path) -> None:
    place = store()
    for file in (tmp_path / "absent.so", place.pin_file):
        with pytest.raises(OSError, match=file.name):
            signer(replace(place, module_file=file))
    place.pin_file.write_text("\n")
    with pytest.raises(ValueError, match="no PIN"):
        signer(place)


def test_lost_token_session_is_reopened_at_once(store: Store) -> None:
    in_token = signer(store())
    first = in_token.sign(b"x")
    pkcs11.lib(str(softhsm.MODULE)).finalize()
    assert in_token.sign(b"x") == first


def test_last_attempt_of_the_token_pin_is_left_to_an_administrator(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = store(pin="000000")
    with pytest.raises(SignerUnavailable, match="PinIncorrect"):
        signer(place).sign(b"x")
    # SoftHSM never locks itself, but says that there was a wrong one.
    monkeypatch.setattr(pkcs11_signer, "_NEARLY_LOCKED", pkcs11.TokenFlag.USER_PIN_COUNT_LOW)
    place.pin_file.write_text(softhsm.PIN)
    with pytest.raises(SignerUnavailable, match="left to an administrator"):
        signer(place).sign(b"x")


def test_module_that_cannot_be_closed_ends_the_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        def finalize(self) -> None:
            raise pkcs11.DeviceError

    in_token = signer(store())
    in_token.sign(b"x")
    pkcs11.lib(str(softhsm.MODULE)).finalize()
    monkeypatch.setattr(in_token, "_module", Stuck())
    with pytest.raises(SystemExit, match="DeviceError"):
        in_token.sign(b"x")
