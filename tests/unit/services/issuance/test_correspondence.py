"""Certificate that differs from its linted precertificate in anything but a good SCT list: refused before the key."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from services.issuance.ca import profiles
from services.issuance.ct import scts, tbs
from services.issuance.ct.correspondence import CertificateRefused
from services.issuance.ct.log_list import Log, LogList
from services.issuance.ct.scts import SCT, PrecertEntry
from services.issuance.domain import Intent
from services.issuance.issuer import Issuer
from shared.vocabulary import ItemId, RenewalId
from tests.unit.services.issuance.ct.test_scts import EC_KEY, INDEX, OTHER_KEY, RSA_KEY, of, sct
from tests.unit.services.issuance.pki import ADDRESSES, NOW, issuing_ca, leaf

KEYS = {"a1": EC_KEY, "a2": OTHER_KEY, "b1s": RSA_KEY}
LOGS: dict[str, Log] = {name: of(key, name) for name, key in KEYS.items()}
LIST = LogList(made_at=NOW, logs=tuple(LOGS.values()))
TO_BE_SIGNED = tbs.precertificate(profiles.leaf_tbs(leaf(), issuing_ca()[0], ADDRESSES, issuing_ca()[1].algorithm))
ENTRY = PrecertEntry(issuer_key_hash=sha256(issuing_ca()[1].spki).digest(), tbs=tbs.without_poison(TO_BE_SIGNED))


def given(name: str, **changes: Any) -> SCT:
    return sct(KEYS[name], entry=changes.pop("entry", ENTRY), extensions=INDEX if name == "b1s" else b"", **changes)


GOOD = (given("a1"), given("a2"), given("b1s"))
GOOD_LIST = scts.encode_list(GOOD)
FINAL = tbs.certificate(TO_BE_SIGNED, GOOD_LIST)


class CountingSigner:
    """The CA's key, which counts its use."""

    def __init__(self) -> None:
        _, self._signer = issuing_ca()
        self.algorithm, self.spki = self._signer.algorithm, self._signer.spki
        self.used = 0

    def sign(self, to_be_signed: bytes) -> bytes:
        self.used += 1
        return self._signer.sign(to_be_signed)


@cache
def precertificate(to_be_signed: bytes) -> bytes:
    _, key = issuing_ca()
    return profiles.assemble(to_be_signed, key.algorithm, key.sign(to_be_signed))


def sign(
    certificate_tbs: bytes, log_list: LogList = LIST, submitted: bytes = TO_BE_SIGNED
) -> tuple[bytes | str, CountingSigner]:
    """Return the certificate or the refusal, and the signer."""
    signer = CountingSigner()
    ca, key = issuing_ca()
    issuer = Issuer(ca=ca, signer=signer, throwaway=key, addresses=ADDRESSES, site_prefix=1, random=bytes)
    intent = Intent(
        item_id=ItemId(uuid.uuid4()),
        renewal_id=RenewalId(uuid.uuid4()),
        serial="1",
        tbs=TO_BE_SIGNED,
        state="intended",
        findings=(),
        precertificate=precertificate(submitted),
        certificate_tbs=certificate_tbs,
    )
    try:
        return issuer.sign(intent, log_list, NOW), signer
    except CertificateRefused as refused:
        return str(refused), signer


def test_certificate_with_good_scts_is_signed() -> None:
    signed, signer = sign(FINAL)
    assert isinstance(signed, bytes)
    assert signer.used == 1
    assert x509.load_der_x509_certificate(signed).tbs_precertificate_bytes == ENTRY.tbs


def changed(change: Callable[[asn1_x509.TbsCertificate], None]) -> bytes:
    """Return the certificate's bytes after a change."""
    parsed = asn1_x509.TbsCertificate.load(FINAL)
    change(parsed)
    return bytes(parsed.dump(force=True))


def extensions(change: Callable[[list[asn1_x509.Extension]], Any]) -> bytes:
    """Return the certificate's bytes after a change of its list of extensions."""

    def apply(parsed: asn1_x509.TbsCertificate) -> None:
        found = [asn1_x509.Extension.load(each.dump()) for each in parsed["extensions"]]
        change(found)
        parsed["extensions"] = asn1_x509.Extensions(found)

    return changed(apply)


def later(parsed: asn1_x509.TbsCertificate) -> None:
    ends = parsed["validity"]["not_after"].native + timedelta(seconds=1)
    parsed["validity"] = {
        "not_before": parsed["validity"]["not_before"],
        "not_after": asn1_x509.Time(name="utc_time", value=ends),
    }


def set_critical(found: list[asn1_x509.Extension], place: int, *, critical: bool) -> None:
    found[place] = asn1_x509.Extension(
        {"extn_id": found[place]["extn_id"], "critical": critical, "extn_value": found[place]["extn_value"]}
    )


EXTRA = asn1_x509.Extension({"extn_id": "2.5.29.14", "extn_value": core.ParsableOctetString(b"\x04\x01x")})
NOT_MINIMAL = FINAL[:1] + b"\x83\x00" + FINAL[2:]
ALTERED: dict[str, bytes] = {
    "other name": FINAL.replace(b"www.example.hk", b"www.example.uk"),
    "other organisation": FINAL.replace(b"Example (Hong Kong)", b"Example (Macao SAR)"),
    "other serial number": FINAL.replace(bytes(range(100, 116)), bytes(range(101, 117))),
    "later end": changed(later),
    "other order of extensions": extensions(lambda found: found.insert(0, found.pop(1))),
    "SCT list in another place": extensions(lambda found: found.insert(0, found.pop())),
    "extension made critical": extensions(lambda found: set_critical(found, 0, critical=True)),
    "extension no longer critical": extensions(lambda found: set_critical(found, 5, critical=False)),
    "critical SCT list": extensions(lambda found: set_critical(found, -1, critical=True)),
    "extra extension": extensions(lambda found: found.append(EXTRA)),
    "extension missing": extensions(lambda found: found.pop(0)),
    "SCT list missing": ENTRY.tbs,
    "two SCT lists": extensions(lambda found: found.append(found[-1])),
    "poison beside the SCT list": extensions(
        lambda found: found.append(asn1_x509.TbsCertificate.load(TO_BE_SIGNED)["extensions"][-1])
    ),
    "the precertificate itself": TO_BE_SIGNED,
    "bytes after the end": FINAL + b"\0",
    "length that is not minimal": NOT_MINIMAL,
    "nothing": b"",
}


@pytest.mark.parametrize("name", ALTERED)
def test_certificate_that_differs_outside_the_scts_is_refused_before_it_is_signed(name: str) -> None:
    assert ALTERED[name] != FINAL
    refusal, signer = sign(ALTERED[name])
    assert isinstance(refusal, str)
    assert signer.used == 0


def test_no_single_byte_outside_the_scts_can_be_changed() -> None:
    begins = FINAL.index(GOOD_LIST)
    places = [*range(begins), *range(begins + len(GOOD_LIST), len(FINAL))]
    assert len(places) > 700
    for place in places:
        refusal, signer = sign(FINAL[:place] + bytes([FINAL[place] ^ 1]) + FINAL[place + 1 :])
        assert isinstance(refusal, str), place
        assert signer.used == 0, place


OTHER_ENTRY = replace(ENTRY, tbs=ENTRY.tbs.replace(b"www.example.hk", b"www.example.uk"))
BAD_LISTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"\0\0", "SCTs that are too few or alike"),
    "too few": (scts.encode_list(GOOD[:2]), "SCTs that are too few or alike"),
    "of one operator": (scts.encode_list((GOOD[0], GOOD[1])), "SCTs that are too few or alike"),
    "of one log": (scts.encode_list((GOOD[0], GOOD[0], GOOD[2])), "SCTs that are too few or alike"),
    "of another certificate": (
        scts.encode_list((given("a1", entry=OTHER_ENTRY), *GOOD[1:])),
        "SCTRefused: signature",
    ),
    "of the future": (scts.encode_list((given("a1", at=NOW + timedelta(minutes=1)), *GOOD[1:])), "SCTRefused: future"),
    "static log without an index": (
        scts.encode_list((*GOOD[:2], sct(RSA_KEY, entry=ENTRY))),
        "SCTRefused: leaf-index",
    ),
    "no encoding": (GOOD_LIST + b"\0", "Malformed: bytes after the end of the structure"),
    "cut": (GOOD_LIST[:-1], "Malformed: the structure ends too early"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_sct_list_that_browsers_would_not_take_is_refused_before_the_signature(name: str) -> None:
    content, expected = BAD_LISTS[name]
    refusal, signer = sign(tbs.certificate(TO_BE_SIGNED, content))
    assert str(refusal).startswith(expected)
    assert signer.used == 0


def test_sct_of_a_log_that_is_not_listed_is_refused() -> None:
    refusal, signer = sign(FINAL, replace(LIST, logs=LIST.logs[1:]))
    assert str(refusal).startswith("an SCT of a log that is not on the list")
    assert signer.used == 0


def test_precertificate_that_was_submitted_must_be_the_linted_one() -> None:
    refusal, signer = sign(FINAL, submitted=TO_BE_SIGNED.replace(b"www.example.hk", b"www.example.uk"))
    assert str(refusal) == "PairDiffers: from what was submitted"
    assert signer.used == 0
