"""SCTs: what a log's answer must be, and the list in the certificate."""

import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.issuance.ct import scts
from services.issuance.ct.encoding import Malformed, vector
from services.issuance.ct.log_list import Log, Protocol
from services.issuance.ct.scts import SCT, PrecertEntry, SCTFault, SCTRefused
from tests.unit.services.issuance.csr.csrs import rsa_key
from tests.unit.services.issuance.ct.test_policy import log
from tests.unit.services.issuance.pki import NOW

ENTRY = PrecertEntry(issuer_key_hash=b"k" * 32, tbs=b"to be signed")
EC_KEY, OTHER_KEY, RSA_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()), rsa_key()
INDEX = bytes([0, 0, 5]) + (7).to_bytes(5)


def of(key: Any, name: str = "a1") -> Log:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return replace(log(name), key=public, log_id=sha256(public).digest())


def sct(key: Any = EC_KEY, *, at: datetime = NOW, entry: PrecertEntry = ENTRY, extensions: bytes = b"") -> SCT:
    unsigned = SCT(log_id=of(key).log_id, timestamp=int(at.timestamp() * 1000), extensions=extensions, signature=b"")
    message = scts.signed_bytes(unsigned, entry)
    if isinstance(key, rsa.RSAPrivateKey):
        return replace(
            unsigned, signature=b"\x04\x01" + vector(key.sign(message, padding.PKCS1v15(), hashes.SHA256()), 2)
        )
    return replace(unsigned, signature=b"\x04\x03" + vector(key.sign(message, ec.ECDSA(hashes.SHA256())), 2))


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=["P-256", "RSA"])
def test_sct_of_the_log_for_this_entry_is_accepted(key: Any) -> None:
    scts.verify(sct(key), of(key), ENTRY, NOW)


GOOD = sct()
BAD = {
    "of another log": (sct(OTHER_KEY), SCTFault.OTHER_LOG),
    "signed by another log": (replace(sct(OTHER_KEY), log_id=GOOD.log_id), SCTFault.SIGNATURE),
    "of the future": (sct(at=NOW + timedelta(seconds=6)), SCTFault.FUTURE),
    "of another key hash": (sct(entry=replace(ENTRY, issuer_key_hash=b"j" * 32)), SCTFault.SIGNATURE),
    "of another certificate": (sct(entry=replace(ENTRY, tbs=b"another")), SCTFault.SIGNATURE),
    "of another time": (replace(GOOD, timestamp=GOOD.timestamp - 1), SCTFault.SIGNATURE),
    "with other extensions": (replace(GOOD, extensions=b"x"), SCTFault.SIGNATURE),
    "by another hash": (replace(GOOD, signature=b"\x05" + GOOD.signature[1:]), SCTFault.SIGNATURE),
    "by another algorithm": (replace(GOOD, signature=b"\x04\x01" + GOOD.signature[2:]), SCTFault.SIGNATURE),
    "cut": (replace(GOOD, signature=GOOD.signature[:-1]), SCTFault.MALFORMED),
    "with a tail": (replace(GOOD, signature=GOOD.signature + b"\0"), SCTFault.MALFORMED),
    "without a signature": (replace(GOOD, signature=b""), SCTFault.MALFORMED),
}


@pytest.mark.parametrize(("bad", "fault"), BAD.values(), ids=BAD.keys())
def test_any_other_sct_is_refused(bad: SCT, fault: SCTFault) -> None:
    with pytest.raises(SCTRefused) as refused:
        scts.verify(bad, of(EC_KEY), ENTRY, NOW)
    assert refused.value.fault is fault


def test_clock_of_a_log_may_be_a_few_seconds_ahead() -> None:
    scts.verify(sct(at=NOW + timedelta(seconds=4)), of(EC_KEY), ENTRY, NOW)


def test_sct_of_a_static_log_names_its_position() -> None:
    static = of(EC_KEY, "a1s")
    assert static.protocol is Protocol.STATIC
    scts.verify(sct(extensions=INDEX), static, ENTRY, NOW)
    assert scts.leaf_index(INDEX) == 7
    for wrong in (b"", INDEX[:-1], b"\1" + INDEX[1:], INDEX + b"\0", bytes([0, 0, 4]) + bytes(4)):
        with pytest.raises(SCTRefused) as refused:
            scts.verify(sct(extensions=wrong), static, ENTRY, NOW)
        assert refused.value.fault is SCTFault.LEAF_INDEX


def answer(**fields: Any) -> bytes:
    right = {
        "sct_version": 0,
        "id": base64.b64encode(GOOD.log_id).decode(),
        "timestamp": GOOD.timestamp,
        "extensions": "",
        "signature": base64.b64encode(GOOD.signature).decode(),
    }
    return json.dumps(right | fields).encode()


def test_answer_of_a_log_is_decoded() -> None:
    assert scts.decode_answer(answer()) == GOOD


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[" * 16_000,
        b" " * (scts.MAX_ANSWER_BYTES + 1),
        answer(sct_version=1),
        answer(sct_version=False),
        answer(sct_version="0"),
        answer(timestamp=-1),
        answer(timestamp=2**64),
        answer(timestamp=1.5),
        answer(timestamp="1"),
        answer(id="AAAA"),
        answer(id="%"),
        answer(id=None),
        answer(extensions=base64.b64encode(bytes(2000)).decode()),
        answer(signature=7),
    ],
)
def test_answer_that_is_no_sct_is_refused(content: bytes) -> None:
    with pytest.raises(SCTRefused):
        scts.decode_answer(content)


def test_list_of_scts_is_read_as_it_was_written() -> None:
    both = (GOOD, sct(RSA_KEY, extensions=INDEX))
    encoded = scts.encode_list(both)
    assert scts.decode_list(encoded) == both
    for wrong in (b"", encoded[:-1], encoded + b"\0", b"\0\3\0\1\1", vector(vector(b"\1" + GOOD.encoded()[1:], 2), 2)):
        with pytest.raises(Malformed):
            scts.decode_list(wrong)
    with pytest.raises(Malformed):
        scts.decode_list(scts.encode_list((GOOD,) * (scts.MAX_SCTS + 1)))
