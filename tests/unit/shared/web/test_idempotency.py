"""A request is recognised by a hash that nobody can make who lacks the key."""

from pathlib import Path

import pytest

from shared.web.idempotency import FingerprintKey

SECRET = bytes(range(32))
REQUEST = ("POST", "/issuance/v1/orders/1/csr?", b'{"pins": {}}')


def test_same_request_has_the_same_fingerprint_and_any_other_another(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(SECRET)
    key = FingerprintKey.load(tmp_path / "key")
    assert key.of(*REQUEST) == FingerprintKey(SECRET).of(*REQUEST)
    method, path, body = REQUEST
    others = [("PUT", path, body), (method, path + "x", body), (method, path, body + b" ")]
    assert len({key.of(*REQUEST), *(key.of(*other) for other in others)}) == 4


def test_another_key_gives_another_fingerprint() -> None:
    assert FingerprintKey(SECRET).of(*REQUEST) != FingerprintKey(SECRET[::-1]).of(*REQUEST)


def test_short_key_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        FingerprintKey(SECRET[:31])
    assert SECRET.hex() not in repr(FingerprintKey(SECRET))
