"""Google's JSON schema of log lists, version 3: what is read from it, and what is refused."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.issuance.ct import log_list
from services.issuance.ct.log_list import LogListRefused, Protocol
from tests.unit.services.issuance.pki import NOW


def spki(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def entry(key: bytes, /, **fields: Any) -> dict[str, Any]:
    return {
        "description": "Some log 2027h1",
        "log_id": base64.b64encode(sha256(key).digest()).decode(),
        "key": base64.b64encode(key).decode(),
        "url": "https://ct.example.com/2027h1/",
        "mmd": 86400,
        "state": {"usable": {"timestamp": "2026-01-01T00:00:00Z"}},
        "temporal_interval": {"start_inclusive": "2027-01-01T00:00:00Z", "end_exclusive": "2027-07-01T00:00:00Z"},
        **fields,
    }


def a_list(*logs: dict[str, Any], tiled: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "version": "62.1",
        "log_list_timestamp": "2026-11-20T12:00:00Z",
        "operators": [{"name": "Some operator", "email": [], "logs": list(logs), "tiled_logs": list(tiled)}],
    }


KEY = spki(ec.generate_private_key(ec.SECP256R1()))
OTHER = spki(ec.generate_private_key(ec.SECP256R1()))


def test_both_kinds_of_logs_are_read_with_key_state_and_interval() -> None:
    tiled = entry(OTHER, submission_url="https://log.example.org/in", monitoring_url="https://mon.example.org/out/")
    found = log_list.parse(json.dumps(a_list(entry(KEY), tiled=(tiled,))).encode())
    first, second = found.logs
    assert (first.protocol, first.url, first.monitoring_url) == (
        Protocol.RFC_6962,
        *["https://ct.example.com/2027h1/"] * 2,
    )
    assert (second.protocol, second.url) == (Protocol.STATIC, "https://log.example.org/in/")
    assert second.monitoring_url == "https://mon.example.org/out/"
    assert first.log_id == sha256(KEY).digest()
    assert first.operator == "Some operator"
    assert first.is_usable(NOW)
    assert first.begins is not None
    assert first.ends is not None
    edges = {first.begins: True, first.ends: False, first.begins - timedelta(seconds=1): False}
    assert {moment: first.takes(moment) for moment in edges} == edges


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ({"usable": {"timestamp": "2026-01-01T00:00:00Z"}}, True),
        ({"qualified": {"timestamp": "2026-01-01T00:00:00Z"}}, True),
        ({"usable": {"timestamp": "2027-01-01T00:00:00Z"}}, False),
        ({"pending": {"timestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"readonly": {"timestamp": "2026-01-01T00:00:00Z", "final_tree_head": {}}}, False),
        ({"retired": {"timestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"rejected": {"timestamp": "2026-01-01T00:00:00Z"}}, False),
        ({}, False),
    ],
)
def test_log_is_usable_in_two_states_only(state: dict[str, Any], usable: bool) -> None:
    (found,) = log_list.parse(json.dumps(a_list(entry(KEY, state=state))).encode()).logs
    assert found.is_usable(NOW) is usable


def _changed(**fields: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(a_list(entry(KEY, **fields))).encode()


WRONG = {
    "not JSON": lambda: b"<html>",
    "nested deeply": lambda: b"[" * 100_000,
    "a list": lambda: b"[]",
    "no operators": lambda: b'{"log_list_timestamp": "2026-11-20T12:00:00Z"}',
    "another key's id": _changed(log_id=base64.b64encode(sha256(OTHER).digest()).decode()),
    "no key": _changed(key="AAAA", log_id=base64.b64encode(sha256(b"\0\0\0").digest()).decode()),
    "no base64": _changed(key="%"),
    "plain http": _changed(url="http://ct.example.com/"),
    "no address": _changed(url="https://"),
    "no time": _changed(state={"usable": {"timestamp": "yesterday"}}),
    "no state": _changed(state=[]),
    "half an interval": _changed(temporal_interval={"start_inclusive": "2027-01-01T00:00:00Z"}),
    "twice": lambda: json.dumps(a_list(entry(KEY), entry(KEY))).encode(),
    "too many": lambda: json.dumps(a_list(*[entry(KEY)] * (log_list.MAX_LOGS + 1))).encode(),
    "too long": lambda: b" " * (log_list.MAX_BYTES + 1),
    "an Ed25519 key": lambda: json.dumps(a_list(entry(spki(ed25519.Ed25519PrivateKey.generate())))).encode(),
    "a P-384 key": lambda: json.dumps(a_list(entry(spki(ec.generate_private_key(ec.SECP384R1()))))).encode(),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_wrong_list_is_refused(content: Callable[[], bytes]) -> None:
    with pytest.raises(LogListRefused):
        log_list.parse(content())


def test_plain_http_is_for_development_only() -> None:
    plain = _changed(url="http://127.0.0.1:1/a/")()
    assert log_list.parse(plain, plain_http=True).logs
    with pytest.raises(LogListRefused):
        log_list.parse(plain)
