"""Fuzzed bytes: the verifier refuses them, unless they are the signature as it was made."""

from pathlib import Path

import pytest
from asn1crypto import algos, cms
from hypothesis import given, settings
from hypothesis import strategies as st

from services.identity import der
from services.identity.cms import verify
from services.identity.refusals import CertificateFault, CertificateRefused, SignatureRefused
from tests.unit.services.identity.builders import NOW
from tests.unit.services.identity.cms_builder import DOCUMENT, pss
from tests.unit.services.identity.der_editing import Place, places, replaced
from tests.unit.services.identity.spellings import spellings

# cryptography warns of oddities in a certificate that it reads all the same.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# Made by cms_builder.sign once and kept, so that each run tries the same changes whatever ran before it.
FOLDER = Path(__file__).parent / "samples"
SAMPLES = tuple((FOLDER / name).read_bytes() for name in ("pkcs1.der", "pss.der"))
LONGEST = len(algos.SignedDigestAlgorithm({"algorithm": "rsassa_pss", "parameters": pss("sha256")}).dump())
SAME = frozenset().union(*map(spellings, SAMPLES))


def survives(signature: bytes) -> None:
    try:
        verify(signature, DOCUMENT, NOW)
    except SignatureRefused:
        return
    except CertificateRefused as refused:
        if refused.fault is not CertificateFault.NAME_ENCODING:
            raise
        return
    assert signature in SAME, "a changed signature was accepted"


@pytest.mark.parametrize(("sample", "count"), [(SAMPLES[0], 8), (SAMPLES[1], 16)], ids=["PKCS #1", "PSS"])
def test_every_encoding_that_the_standards_allow_is_accepted(sample: bytes, count: int) -> None:
    found = spellings(sample)

    assert sample in found
    assert len(found) == count
    for spelling in found:
        verify(spelling, DOCUMENT, NOW)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_changed_bytes_are_refused_and_nothing_else(sample: bytes, data: st.DataObject) -> None:
    mutant = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(mutant))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_cut_and_pasted_bytes_are_refused_and_nothing_else(sample: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, len(sample)))
    survives(sample[:start] + data.draw(st.binary(max_size=40)) + sample[end:])


PLACES = [(sample, place) for sample in SAMPLES for place in places(sample)]
NONSENSE = {bytes.fromhex(value) for value in ("", "0500", "3000", "3100", "a000", "020107", "06012a", "0400")}
POOL = sorted({sample[start:end] for sample, (start, end) in PLACES} | NONSENSE)


def _uncovered(sample: bytes) -> list[Place]:
    """Return the places that neither the signature nor the certificate's own vouches for."""
    content = cms.ContentInfo.load(sample)["content"]
    certificate = content["certificates"][0].chosen.dump()
    attributes = content["signer_infos"][0]["signed_attrs"].dump()
    covered = [(at := sample.index(part), at + len(part)) for part in (certificate, attributes)]
    return [
        place for place in places(sample) if not any(start <= place[0] and place[1] <= end for start, end in covered)
    ]


@pytest.mark.parametrize("sample", SAMPLES, ids=["PKCS #1", "PSS"])
def test_every_short_value_in_every_place_that_is_not_signed_is_refused_or_means_the_same(sample: bytes) -> None:
    others = {each[start:end] for each in SAMPLES for start, end in _uncovered(each)}
    values = [value for value in others | NONSENSE if len(value) <= LONGEST]
    for place in _uncovered(sample):
        for value in values if place[1] - place[0] <= LONGEST else ():
            survives(replaced(sample, place, value))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(POOL))
def test_well_formed_nonsense_is_refused_and_nothing_else(place: tuple[bytes, Place], value: bytes) -> None:
    survives(replaced(*place, value))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_nothing_else(junk: bytes) -> None:
    survives(junk)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_der_is_parsed_without_loss(data: bytes) -> None:
    try:
        der.require(data)
    except der.NotDER:
        return
    assert b"".join(der.elements(data)) == data
