"""Bytes of strangers are refused or read, and nothing else: certificates, CRLs, CSRs and CMS, each mutated.

The mutations are the same in every run. CRLs are signed again after the change: an issuer, too, may make a bad one.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.identity import certificates, cms, der, examining, organisations, subjects
from services.identity.certificates import Trust
from services.identity.domain import Subscriber
from services.identity.refusals import CertificateRefused
from services.issuance.csr import csr
from shared.errors import Refused, Unavailable
from shared.pki import crls
from shared.pki.certificates import sha256
from shared.vocabulary import SubscriberId
from tests.unit.services.identity.builders import CRL, CRL_URL, NOW, ORGANISATIONAL, make_crl, rsa_key, world
from tests.unit.services.identity.cms_builder import DOCUMENT, sign
from tests.unit.services.identity.der_editing import length, places, replaced
from tests.unit.services.issuance.csr.csrs import as_pem, csr_der
from tests.unit.shared.pki import mutants

# cryptography warns of oddities in a certificate that it reads all the same.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

TRUST = Trust(
    anchors=(world().root.certificate,),
    intermediates=(world().sub.certificate,),
    policies=frozenset({ORGANISATIONAL}),
)
SUBSCRIBER = Subscriber(
    id=SubscriberId("example"),
    name="Example",
    name_zh=None,
    brn="12345678",
    country="HK",
    state_or_province=None,
    locality="HK",
)


def look_at_certificate(data: bytes) -> None:
    """Run all that identity does with a certificate before it knows its holder."""
    certificate = certificates.read(data)
    judgements: list[Callable[[], object]] = [
        lambda: certificates.check_validity(certificate, NOW),
        lambda: certificates.check_class(certificate, TRUST),
        lambda: certificates.check_key(certificate, TRUST),
        lambda: certificates.find_chains(certificate, TRUST, NOW),
        lambda: crls.check([(certificate, world().sub.certificate)], {}, NOW),
    ]
    for judge in judgements:
        with contextlib.suppress(Refused, Unavailable):
            judge()
    organisations.names(certificate, SUBSCRIBER)
    examining.describe(certificate)
    subjects.describe(certificate)
    sha256(certificate)


def look_at_crl(data: bytes) -> None:
    """Run all that the work process does with a CRL, and a sign-in after it."""
    issuer = crls.issuer_of(crls.as_der(data), [world().sub.certificate])
    stored = crls.accept(data, issuer, NOW)
    with contextlib.suppress(Refused, Unavailable):
        crls.check([(world().holder.certificate, issuer)], {stored.issuer_sha256: [stored]}, NOW)


def look_at_csr(data: bytes) -> None:
    """Run all that intake does with a request before it knows its order."""
    for text in (as_pem(data), data.decode("latin-1")):
        with contextlib.suppress(Refused):
            csr.check_names(csr.read(text), ("www.example.hk",))


def look_at_cms(data: bytes) -> None:
    look_at_certificate(cms.verify(data, DOCUMENT, NOW).certificate_der)


def signed_again(data: bytes) -> bytes:
    """Return a CRL with a signature by the sub-CA that fits, if it still has three parts."""
    with contextlib.suppress(der.NotDER):
        parts = list(der.elements(der.contents_of(data)))
        key = world().sub.key
        assert isinstance(key, rsa.RSAPrivateKey)
        if len(parts) == 3:
            signature = b"\x00" + key.sign(parts[0], padding.PKCS1v15(), hashes.SHA256())
            body = parts[0] + parts[1] + b"\x03" + length(signature)
            return b"\x30" + length(body)
    return data


def crl() -> bytes:
    point = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier(CRL_URL)], None, True, False, None, False, False
    )
    entry = ((x509.InvalidityDate(NOW.replace(tzinfo=None)), False),)
    return make_crl(world().sub, CRL(revoked=(5,), reason=x509.ReasonFlags.superseded, entry_extra=entry, idp=point))


def request() -> bytes:
    return csr_der(rsa_key("holder"), common_name="www.example.hk", names=("www.example.hk", "b.example.hk"))


KINDS: dict[str, tuple[Callable[[bytes], None], Callable[[], bytes], Callable[[bytes], bytes]]] = {
    "certificate": (look_at_certificate, lambda: world().holder.der, bytes),
    "CRL": (look_at_crl, crl, signed_again),
    "CSR": (look_at_csr, request, bytes),
    "CMS": (look_at_cms, lambda: sign(world().holder), bytes),
}


def survives(look: Callable[[bytes], None], samples: Iterable[bytes]) -> None:
    for sample in samples:
        try:
            look(sample)
        except (Refused, Unavailable):
            continue
        except BaseException as error:
            error.add_note(f"for {sample.hex()}")
            raise


# asn1crypto takes ten milliseconds for each CMS; test_cms_fuzz.py goes deeper there.
IN_EVERY_FIELD = {kind: how for kind, how in KINDS.items() if kind != "CMS"}


@pytest.mark.parametrize(("look", "make", "finish"), IN_EVERY_FIELD.values(), ids=IN_EVERY_FIELD.keys())
def test_nonsense_in_a_field_is_refused_or_read(
    look: Callable[[bytes], None], make: Callable[[], bytes], finish: Callable[[bytes], bytes]
) -> None:
    survives(look, [make()])
    survives(look, map(finish, mutants.of_every_field(make())))


@pytest.mark.parametrize(("look", "make", "finish"), KINDS.values(), ids=KINDS.keys())
def test_any_mutation_is_refused_or_read(
    look: Callable[[bytes], None], make: Callable[[], bytes], finish: Callable[[bytes], bytes]
) -> None:
    count = 150 if look is look_at_cms else 500
    survives(look, map(finish, mutants.of_structure(make(), count, seed=1)))
    survives(look, mutants.of_bytes(make(), count, seed=2))


def _times(sample: bytes) -> Iterator[tuple[int, int]]:
    return (place for place in places(sample) if sample[place[0]] in (0x17, 0x18))


def test_certificate_of_the_year_0_is_unreadable() -> None:
    sample = world().holder.der
    for place in _times(sample):
        with pytest.raises(CertificateRefused, match="unreadable"):
            certificates.read(replaced(sample, place, b"\x18\x0f00000101000000Z"))
