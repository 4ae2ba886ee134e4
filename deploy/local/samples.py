"""Sample data for the first start: enrolled people, and a dozen subscriptions with different expiry dates."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.local import authority as ca
from deploy.local.people import CHAN, ENROLLED, HO, LEE, SAMPLES, SUBSCRIBERS, WONG, Person
from deploy.local.pki import PKI, PUBLIC_HOST
from shared.vocabulary import Product

_LIFETIME: Final = timedelta(days=199)
_EVIDENCE_AGE: Final = timedelta(days=90)
_ORGANISATION_VALIDATED: Final = "2.23.140.1.2.2"


@dataclass(frozen=True, kw_only=True)
class SampleSubscription:
    """A subscription and the days until its current certificate expires; negative for expired ones."""

    srn: str
    person: Person
    product: Product
    server_names: tuple[str, ...]
    days_left: int
    additional_servers: int = 0
    standing: str = "active"


def _harbour(srn: str, product: Product, *names: str, days: int, **more: Any) -> SampleSubscription:
    return SampleSubscription(srn=srn, person=CHAN, product=product, server_names=names, days_left=days, **more)


def _lion_rock(srn: str, product: Product, *names: str, days: int, **more: Any) -> SampleSubscription:
    return SampleSubscription(srn=srn, person=LEE, product=product, server_names=names, days_left=days, **more)


def trio(number: int) -> tuple[SampleSubscription, ...]:
    """Return the certificates that the demo renews at once, one of each product: five PIN Envelopes.

    Number 0 is among the first samples.
    """
    more = f"-{number + 1}" if number else ""
    srn = 2_310_001 + 100 * number
    return (
        _harbour(f"{srn:010d}", Product.STANDARD, f"www{more}.harbourlights.example.hk", days=45),
        _harbour(f"{srn + 1:010d}", Product.WILDCARD, f"*.shop{more}.harbourlights.example.hk", days=45),
        _harbour(
            f"{srn + 2:010d}",
            Product.MULTI_DOMAIN,
            *(f"{name}{more}.harbourlights.example.hk" for name in ("mail", "vpn")),
            f"portal{more}.harbour-lights.example.com.hk",
            days=20,
            additional_servers=1,
        ),
    )


SUBSCRIPTIONS: Final = (
    *trio(0),
    _harbour("0002310004", Product.STANDARD, "api.harbourlights.example.hk", days=5),
    _harbour("0002310005", Product.STANDARD, "old.harbourlights.example.hk", days=-3),
    _harbour("0002310006", Product.STANDARD, "paused.harbourlights.example.hk", days=90, standing="suspended"),
    SampleSubscription(
        srn="0002310007",
        person=WONG,
        product=Product.STANDARD,
        server_names=("intranet.harbourlights.example.hk",),
        days_left=150,
    ),
    _lion_rock("0002310008", Product.STANDARD, "www.lionrock.example.hk", days=20),
    _lion_rock("0002310009", Product.WILDCARD, "*.lionrock.example.hk", days=150),
    _lion_rock("0002310010", Product.MULTI_DOMAIN, "track.lionrock.example.hk", "edi.lionrock.example.hk", days=45),
    _lion_rock("0002310011", Product.STANDARD, "gone.lionrock.example.hk", days=60, standing="revoked"),
    SampleSubscription(
        srn="0002310012",
        person=HO,
        product=Product.STANDARD,
        server_names=("depot.lionrock.example.hk",),
        days_left=30,
    ),
)


def many(count: int) -> tuple[SampleSubscription, ...]:
    """Return further subscriptions of the first AR, for load and for fault tests."""
    return tuple(
        _harbour(f"{3_000_001 + n:010d}", Product.STANDARD, f"host{n + 1}.harbourlights.example.hk", days=45)
        for n in range(count)
    )


def enrolment(pki: PKI, now: datetime) -> dict[str, Any]:
    """Return the enrolment file for identity: subscribers, their ARs and their e-Certs, all verified a while ago."""
    return {
        "subscribers": [
            {
                "id": organisation.id,
                "name": organisation.name,
                "name_zh": organisation.name_zh,
                "brn": organisation.brn,
                "country": "HK",
                "state_or_province": "Hong Kong",
                "locality": "Hong Kong",
                "evidence": _evidence(now, "Companies Registry and Business Registration Office, extracts"),
                "authorised_representatives": [
                    _representative(pki, person, now) for person in ENROLLED if person.organisation is organisation
                ],
            }
            for organisation in SUBSCRIBERS
        ]
    }


def _representative(pki: PKI, person: Person, now: datetime) -> dict[str, Any]:
    files = [pki.people / f"{sample.file}.pem" for sample in SAMPLES if sample.person is person and sample.registered]
    return {
        "id": person.id,
        "name": person.name,
        "name_zh": person.name_zh,
        "email": person.email,
        "address": list(person.address),
        "evidence": _evidence(now, "Board resolution, confirmed by telephone at the number in the register"),
        "certificates": [_first_pem(file) for file in files],
    }


def _evidence(now: datetime, source: str) -> dict[str, str]:
    return {"verified_at": (now - _EVIDENCE_AGE).isoformat(), "source": source, "checker": "Registration officer 7"}


def _first_pem(file: Path) -> str:
    return ca.certificate_pem(x509.load_pem_x509_certificate(file.read_bytes())).decode()


def subscriptions(pki: PKI, samples: Iterable[SampleSubscription], now: datetime) -> dict[str, Any]:
    """Return the import file for application: subscriptions with their ARs of record and current certificates."""
    issuer = _server_ca(pki)
    return {
        "subscriptions": [
            {
                "srn": sample.srn,
                "subscriber_id": sample.person.organisation.id,
                "subscriber_name": sample.person.organisation.name,
                "ar_id": sample.person.id,
                "ar_name": sample.person.name,
                "product": sample.product.value,
                "server_names": list(sample.server_names),
                "additional_servers": sample.additional_servers,
                "standing": sample.standing,
                "certificate": ca.certificate_pem(_current_certificate(sample, issuer, now)).decode(),
            }
            for sample in samples
        ]
    }


def write(pki: PKI, folder: Path, now: datetime) -> tuple[Path, Path]:
    """Write both files. Returns the paths of the enrolment and of the subscriptions."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "enrolment.json", folder / "subscriptions.json"
    for file, content in zip(files, (enrolment(pki, now), subscriptions(pki, SUBSCRIPTIONS, now)), strict=True):
        file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return files


def _server_ca(pki: PKI) -> ca.Authority:
    key = load_pem_private_key((pki.server / "ca.key").read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the server CA's key is not RSA")
    return ca.Authority(x509.load_pem_x509_certificate((pki.server / "ca.pem").read_bytes()), key, "eCertSCA3-17CRL1")


def _current_certificate(sample: SampleSubscription, issuer: ca.Authority, now: datetime) -> x509.Certificate:
    """Return the current certificate: organisation-validated, as the services will issue its successor."""
    ends = now + timedelta(days=sample.days_left)
    names = sample.server_names
    if sample.product is Product.WILDCARD:
        names = (*names, names[0].removeprefix("*."))
    policies = [x509.PolicyInformation(x509.ObjectIdentifier(_ORGANISATION_VALIDATED), None)]
    return ca.sign(
        _subject(sample.person.organisation.name),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        issuer=issuer.certificate.subject,
        key=issuer.key,
        lives=(ends - _LIFETIME, ends),
        extensions=[
            (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.CertificatePolicies(policies), False),
            (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
            *issuer.pointers(PUBLIC_HOST),
        ],
    )


def _subject(organisation: str) -> x509.Name:
    """Return the subject of a public server certificate: without OU (forbidden) and CN (discouraged)."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Hong Kong"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Hong Kong"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        ]
    )
