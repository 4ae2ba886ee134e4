"""The list of keys that the world knows, in badkeys' own format."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import badkeys.allkeys.block as badkeys
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.issuance.ca.weak_keys import ListedKeys, NoList
from tests.unit.services.issuance.csr.csrs import ec_key, rsa_key


def spki(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def number(key: Any) -> int:
    public = key.public_key().public_numbers()
    return int(public.n if isinstance(key, rsa.RSAPrivateKey) else public.x)


def entry(value: int, source: int = 1) -> bytes:
    return sha256(value.to_bytes((value.bit_length() + 7) // 8)).digest()[:15] + bytes([source])


def written(path: Path, keys: Iterable[Any], others: int = 500) -> Path:
    """Return a list of these keys among others."""
    entries = {entry(number(key)) for key in keys} | {entry(each) for each in range(1, others + 1)}
    path.write_bytes(b"".join(sorted(entries)))
    return path


KEYS: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa_key(2048, 1),
    "P-256": lambda: ec_key(ec.SECP256R1()),
    "P-384": lambda: ec_key(ec.SECP384R1()),
    "P-521": lambda: ec_key(ec.SECP521R1()),
}


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("others", [0, 1, 2, 5_000])
def test_listed_key_is_found_and_no_other(tmp_path: Path, make: Callable[[], Any], others: int) -> None:
    key = make()
    listed = ListedKeys.load(written(tmp_path / "list", [key], others))
    assert listed.has(spki(key))
    for other in (rsa_key(2048, 2), ec.generate_private_key(ec.SECP256R1())):
        assert not listed.has(spki(other))


def test_first_and_last_entry_are_found(tmp_path: Path) -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(20)]
    listed = ListedKeys.load(written(tmp_path / "list", keys, others=0))
    assert all(listed.has(spki(key)) for key in keys)


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
def test_badkeys_finds_the_same_keys(tmp_path: Path, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that it fetches can be read."""
    key = make()
    data = written(tmp_path / "list", [key]).read_bytes()
    monkeypatch.setattr(badkeys, "_blmeta", {1: {"name": "made"}})
    monkeypatch.setattr(badkeys, "_bldata", data)
    assert badkeys.blocklist(number(key))["subtest"] == "made"
    assert badkeys.blocklist(number(rsa_key(2048, 2))) is False


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 17, b"".join(sorted(map(entry, range(1, 99)))[::-1])])
def test_malformed_list_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(ValueError, match="list"):
        ListedKeys.load(tmp_path / "list")


def test_missing_list_finds_no_key() -> None:
    assert not NoList().has(spki(rsa_key()))
