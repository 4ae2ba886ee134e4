"""Pair of precertificate and certificate: equal but for poison and SCT list."""

from functools import cache

import pytest
from cryptography import x509

from services.issuance.ca import profiles
from services.issuance.ct import scts, tbs
from services.issuance.ct.scts import SCT
from services.issuance.ct.tbs import NotSuchTBS, PairDiffers
from tests.unit.services.issuance.pki import ADDRESSES, issuing_ca, leaf

SCTS = scts.encode_list((SCT(log_id=b"i" * 32, timestamp=1, extensions=b"", signature=b"\x04\x03\x00\x00"),))


@cache
def plain() -> bytes:
    ca, signer = issuing_ca()
    return profiles.leaf_tbs(leaf(), ca, ADDRESSES, signer.algorithm)


def assembled(to_be_signed: bytes) -> x509.Certificate:
    _, signer = issuing_ca()
    return x509.load_der_x509_certificate(profiles.assemble(to_be_signed, signer.algorithm, signer.sign(to_be_signed)))


def test_precertificate_has_the_critical_poison_as_its_last_extension() -> None:
    made = tbs.precertificate(plain())
    last = list(assembled(made).extensions)[-1]
    assert (last.critical, last.value) == (True, x509.PrecertPoison())
    assert tbs.is_precertificate(made)
    assert not tbs.is_precertificate(plain())
    assert tbs.without_poison(made) == plain()


def test_certificate_has_the_scts_at_the_place_of_the_poison_and_nothing_else_changes() -> None:
    precertificate = tbs.precertificate(plain())
    made = tbs.certificate(precertificate, SCTS)
    tbs.check_pair(precertificate, made)
    assert tbs.sct_list_of(made) == SCTS
    assert tbs.precertificate_of(made) == precertificate
    parsed = assembled(made)
    assert parsed.tbs_precertificate_bytes == plain(), "an independent library removes the SCTs"
    before = [each.oid for each in assembled(precertificate).extensions]
    assert [each.oid for each in parsed.extensions][:-1] == before[:-1]


@pytest.mark.parametrize("place", ["name", "serial", "another extension"])
def test_pair_that_differs_elsewhere_is_found(place: str) -> None:
    precertificate = tbs.precertificate(plain())
    changed = {
        "name": precertificate.replace(b"www.example.hk", b"www.example.uk"),
        "serial": precertificate.replace(bytes(range(100, 116)), bytes(range(101, 117))),
        "another extension": precertificate.replace(
            bytes.fromhex("0603551d130101ff"), bytes.fromhex("0603551d140101ff")
        ),
    }[place]
    assert changed != precertificate
    with pytest.raises(PairDiffers):
        tbs.check_pair(precertificate, tbs.certificate(changed, SCTS))


def test_bytes_with_or_without_the_expected_extension_are_refused() -> None:
    precertificate = tbs.precertificate(plain())
    final = tbs.certificate(precertificate, SCTS)
    for wrong in (
        lambda: tbs.precertificate(precertificate),
        lambda: tbs.precertificate(final),
        lambda: tbs.certificate(final, SCTS),
        lambda: tbs.without_poison(plain()),
        lambda: tbs.sct_list_of(plain()),
        lambda: tbs.check_pair(final, final),
    ):
        with pytest.raises(NotSuchTBS):
            wrong()


@pytest.mark.parametrize("content", [b"", b"\x30\x00", b"\x30\x80\x00\x00", b"\x30\x84\xff\xff\xff\xff", b"no DER"])
def test_bytes_that_are_no_tbs_are_refused(content: bytes) -> None:
    with pytest.raises(NotSuchTBS):
        tbs.precertificate(content)
    with pytest.raises(NotSuchTBS):
        tbs.precertificate(plain() + content if content else content)
