"""Tokens: what is ours, of this kind and still good; all else is refused with one exception."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.security.tokens import KeySet, SigningKey, TokenKind, TokenRefused, sign, thumbprint, verify
from shared.web.auth import Unauthenticated, caller_of

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CLAIMS = {"sub": "AR-1", "subscriber_id": "S-1", "certificate_sha256": "00" * 32, "role": "ar"}


def new_key() -> SigningKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key=key, kid=thumbprint(key.public_key()))


KEY, OTHER = new_key(), new_key()
KEYS = KeySet.parse({"keys": [KEY.jwk()]})


def access(**changes: Any) -> str:
    return sign({**CLAIMS, **changes}, kind=TokenKind.ACCESS, key=KEY, now=NOW, issuer="identity")


def check(
    token: str, *, kind: TokenKind = TokenKind.ACCESS, now: datetime = NOW, keys: KeySet = KEYS
) -> Mapping[str, Any]:
    return verify(token, kind=kind, keys=keys, now=now, issuer="identity")


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """Return a token signed with the right key, with any header and claims."""
    payload = {
        **CLAIMS,
        "iss": "identity",
        "aud": TokenKind.ACCESS.audience,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
        **claims,
    }
    named = {"kid": KEY.kid, "typ": TokenKind.ACCESS.typ, **(header or {})}
    return jwt.encode(
        {name: value for name, value in payload.items() if value is not None}, KEY.key, algorithm="ES256", headers=named
    )


@pytest.mark.parametrize("kind", list(TokenKind))
def test_token_of_each_kind_survives_encoding(kind: TokenKind) -> None:
    token = sign(CLAIMS, kind=kind, key=KEY, now=NOW, issuer="identity")
    assert check(token, kind=kind).items() >= CLAIMS.items()


@pytest.mark.parametrize("made", list(TokenKind))
@pytest.mark.parametrize("wanted", list(TokenKind))
def test_token_of_another_kind_is_refused(made: TokenKind, wanted: TokenKind) -> None:
    if made is wanted:
        return
    token = sign(CLAIMS, kind=made, key=KEY, now=NOW, issuer="identity")
    with pytest.raises(TokenRefused):
        check(token, kind=wanted)


FORGERIES: Mapping[str, Callable[[], str]] = {
    "alg none": lambda: f"{encoded({'alg': 'none', 'typ': 'at+jwt', 'kid': KEY.kid})}.{access().split('.')[1]}.",
    "HMAC with the public key": lambda: _hmac(
        KEY.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ),
    "a key that came along": lambda: jwt.encode(
        {**CLAIMS, "iss": "identity", "aud": "ecert-api", "iat": 1, "exp": 9_999_999_999},
        OTHER.key,
        algorithm="ES256",
        headers={"kid": KEY.kid, "typ": "at+jwt", "jwk": OTHER.jwk()},
    ),
    "another key's name": lambda: forged({"kid": OTHER.kid}),
    "no key's name": lambda: f"{encoded({'alg': 'ES256', 'typ': 'at+jwt'})}.{access().partition('.')[2]}",
    "a path for a key's name": lambda: forged({"kid": "../../dev/null"}),
    "other type": lambda: forged({"typ": "JWT"}),
    "other audience": lambda: forged(aud="ecert-payment"),
    "no audience": lambda: forged(aud=None),
    "other issuer": lambda: forged(iss="application"),
    "no issuer": lambda: forged(iss=None),
    "no subject": lambda: forged(sub=None),
    "no time": lambda: forged(iat=None),
    "no end": lambda: forged(exp=None),
    "end is text": lambda: forged(exp="9999999999"),
    "from the future": lambda: forged(iat=int(NOW.timestamp()) + 61),
    "changed claims": lambda: ".".join(
        [access().split(".")[0], encoded({**CLAIMS, "sub": "AR-2"}), access().split(".")[2]]
    ),
    "cut signature": lambda: access()[:-4],
    "no signature": lambda: access().rpartition(".")[0] + ".",
    "deep header": lambda: f"{encoded(b'[' * 20_000)}.e30.e30",
    "deep claims": lambda: _signed_bytes(b"[" * 20_000),
    "header is a list": lambda: f"{encoded([])}.e30.e30",
    "surrogate": lambda: access() + "\udc80",
    "empty": lambda: "",
}


def _hmac(secret: bytes) -> str:
    """Build a token by hand, because PyJWT refuses to make one."""
    claims = {**CLAIMS, "iss": "identity", "aud": "ecert-api", "iat": 1, "exp": 9_999_999_999}
    signed = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': KEY.kid})}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _signed_bytes(payload: bytes) -> str:
    return jwt.api_jws.encode(payload, KEY.key, algorithm="ES256", headers={"kid": KEY.kid, "typ": "at+jwt"})


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_is_refused(name: str) -> None:
    with pytest.raises(TokenRefused):
        check(FORGERIES[name]())


@given(st.text() | st.binary().map(lambda raw: f"{encoded(raw)}.{encoded(raw)}.{encoded(raw)}"))
def test_any_text_is_a_token_or_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        check(token)


def test_access_token_expires_after_fifteen_minutes() -> None:
    token = access()
    assert check(token, now=NOW + timedelta(minutes=14, seconds=59))
    with pytest.raises(TokenRefused):
        check(token, now=NOW + timedelta(minutes=15))


def test_attestation_does_not_expire() -> None:
    token = sign(CLAIMS, kind=TokenKind.ATTESTATION, key=KEY, now=NOW, issuer="identity")
    assert check(token, kind=TokenKind.ATTESTATION, now=NOW + timedelta(days=400))


def test_caller_cannot_extend_a_token_with_claims() -> None:
    token = access(exp=9_999_999_999, aud="everyone", iss="me")
    with pytest.raises(TokenRefused):
        check(token, now=NOW + timedelta(minutes=15))


def test_both_keys_are_accepted_during_a_rotation() -> None:
    both = KeySet.parse({"keys": [KEY.jwk(), OTHER.jwk()]})
    for key in (KEY, OTHER):
        assert check(sign(CLAIMS, kind=TokenKind.ACCESS, key=key, now=NOW, issuer="identity"), keys=both)


def test_key_is_named_by_its_thumbprint() -> None:
    # The example of RFC 7638 is an RSA key; this is jwcrypto's figure for RFC 7517's P-256 key, A.1.
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    }
    key = jwt.PyJWK(jwk, algorithm="ES256").key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert thumbprint(key) == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_key_of_another_kind_is_not_loaded(tmp_path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match=r"no P-256 key"):
        SigningKey.load(path)


def test_key_and_jwks_survive_files(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "jwks.json"
    private.write_bytes(KEY.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_text(json.dumps({"keys": [KEY.jwk()]}))
    assert SigningKey.load(private).kid == KEY.kid
    assert [*KeySet.load(public).keys] == [KEY.kid]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic dTpw", "Bearer ", f"Token {access()}"])
def test_request_without_a_bearer_token_is_not_signed_in(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        caller_of(header, keys=KEYS, now=NOW)


@pytest.mark.parametrize("changes", [{"role": "officer"}, {"role": None}])
def test_only_an_ars_token_signs_in(changes: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        caller_of(f"Bearer {access(**changes)}", keys=KEYS, now=NOW)


def test_caller_is_read_from_the_token() -> None:
    caller = caller_of(f"bearer {access()}", keys=KEYS, now=NOW)
    assert (caller.ar_id, caller.subscriber_id, caller.certificate_sha256) == ("AR-1", "S-1", "00" * 32)
