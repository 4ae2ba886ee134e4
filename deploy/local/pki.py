"""Test PKI of an installation, written once: client CAs with sample e-Certs, server CAs, and all other keys.

Names follow the CA's own (root 2 for people, root 3 for servers) with "(Test)" in them.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.gateway.rules import PUBLICATION_HOST, Clients
from deploy.local import authority as ca
from deploy.local import back_office, gateway_certificate, staff
from deploy.local.authority import Authority
from deploy.local.crls import write_crls
from deploy.local.passwords import write_private
from deploy.local.people import (
    MUTUAL_RECOGNITION_CA,
    MUTUAL_RECOGNITION_OID,
    POLICY_OIDS,
    SAMPLES,
    ECertClass,
    SampleECert,
)
from deploy.postgres.roles import DESK, SERVICES
from shared.security.tokens import SigningKey

# Signs the feed of issuance events.
FEED_KEY: Final = "issuance-feed"
# Host of the client CAs' CRLs, in certificates; on one machine nothing listens there.
PUBLIC_HOST: Final = "http://crl.ecert.example.hk"
# The server CA's; on one machine at the port of publications, whatever the host.
PUBLICATION: Final = f"http://{PUBLICATION_HOST}"
# An offline root signs its list once a year (Baseline Requirements 4.9.7: at most twelve months).
_ROOTS_CRL_LIFETIME: Final = timedelta(days=365)
_ANY_POLICY: Final = "2.5.29.32.0"
_ORGANISATION_VALIDATED: Final = "2.23.140.1.2.2"


@dataclass(frozen=True)
class PKI:
    """Paths of the installation's keys and certificates."""

    folder: Path

    @property
    def client_trust(self) -> Path:
        """The folder of the clients' CAs: anchors/, intermediates/ and mutual-recognition/."""
        return self.folder / "client"

    @property
    def client_crls(self) -> Path:
        """The CRLs of all client CAs, DER."""
        return self.folder / "client" / "crls"

    @property
    def client_ca_keys(self) -> Path:
        """The client CAs' keys, and what each has revoked; read only to create CRLs."""
        return self.folder / "client-ca"

    @property
    def server(self) -> Path:
        """The folder of the server CA: root.pem, ca.pem, ca.key, chain.pem."""
        return self.folder / "server"

    @property
    def publication(self) -> Path:
        """The folder of what the server's root has given for publication: its certificate and its CRL, DER."""
        return self.folder / "server" / "publication"

    @property
    def gateway(self) -> Path:
        """The folder of the gateway: tls.pem, tls.key, root.pem, and the client CAs as client-cas.pem."""
        return self.folder / "gateway"

    @property
    def print_process(self) -> Path:
        """The folder of the print process: print.pem, and print.key, which only that process reads."""
        return self.folder / "print"

    @property
    def signing(self) -> Path:
        """The folder of the keys that sign tokens or events, and of SERVICE-audit; public ones as NAME-jwks.json."""
        return self.folder / "signing"

    @property
    def pepper(self) -> Path:
        """The pepper of PIN hashes."""
        return self.folder / "pin-pepper"

    def fingerprint_key(self, service: str) -> Path:
        """Return the key of a service's fingerprints of requests."""
        return self.folder / f"{service}-fingerprint-key"

    @property
    def portal_sessions(self) -> Path:
        """The keys of the portal's session cookies, one a line, newest first."""
        return self.folder / "portal-session-keys"

    @property
    def back_office(self) -> Path:
        """The folder of the back office: ca.pem, and NAME.pem and NAME.key of each sample reader."""
        return self.folder / "back-office"

    @property
    def staff(self) -> Path:
        """The folder of staff: ca.pem, gateway-cas.pem with its root, and each member's NAME.p12,
        NAME.pem, NAME.key.
        """
        return self.folder / "staff"

    @property
    def staff_crls(self) -> Path:
        """The staff CA's CRL, DER."""
        return self.folder / "staff" / "crls"

    @property
    def staff_ca_keys(self) -> Path:
        """The staff CA's key and what it has revoked; read only to create the CRL."""
        return self.folder / "staff-ca"

    @property
    def client_cas(self) -> Mapping[Clients, Path]:
        """The CAs of the client certificates that the gateway requests, by kind of client."""
        return {
            Clients.ECERTS: self.gateway / "client-cas.pem",
            Clients.SYSTEMS: self.back_office / "ca.pem",
            Clients.STAFF: self.staff / "gateway-cas.pem",
        }

    @property
    def perspectives(self) -> Path:
        """The folder of the perspectives: their list, their certificates, and issuance's at them."""
        return self.folder / "perspectives"

    @property
    def people(self) -> Path:
        """The folder of sample e-Certs: NAME.p12, NAME.pem (certificate and chain), NAME.key."""
        return self.folder / "people"


def sample_password(sample: SampleECert) -> str:
    """Return the name of the password of a sample's PKCS#12 file."""
    return f"p12/{sample.file}"


PASSWORDS: Final = (*map(sample_password, SAMPLES), *map(staff.password_name, staff.MEMBERS))


def create(pki: PKI, passwords: Mapping[str, str], *, now: datetime, public_host: str = PUBLIC_HOST) -> None:
    """Write everything that is missing; CRLs are re-created each time.

    An installation of an earlier version gets what later versions added.
    """
    if not (pki.folder / "complete").exists():
        _write_client_side(pki, passwords, now, public_host)
        _write_server_side(pki, now)
        _write_print_key(pki, now)
        write_private(pki.pepper, secrets.token_hex(32))
        (pki.folder / "complete").touch()
    _move_mutual_recognition(pki)
    if not gateway_certificate.names_every_host(pki.gateway / "tls.pem"):
        gateway_certificate.write(pki.gateway, now)
    for service in SERVICES:
        if not pki.fingerprint_key(service).exists():
            write_private(pki.fingerprint_key(service), secrets.token_hex(32))
    if not pki.portal_sessions.exists():
        write_private(pki.portal_sessions, Fernet.generate_key() + b"\n")
    for name in ("identity", "application", "payment", DESK, FEED_KEY, *(f"{service}-audit" for service in SERVICES)):
        if not (pki.signing / f"{name}-jwks.json").exists():
            write_signing_key(pki.signing, name)
    if not (pki.back_office / "ca.pem").exists():
        back_office.write(pki.back_office, now)
    if not (pki.staff / "ca.pem").exists():
        staff.write(pki.staff, pki.staff_ca_keys, passwords, now=now)
    write_crls(pki.staff_ca_keys, pki.staff_crls, now)
    write_crls(pki.client_ca_keys, pki.client_crls, now)


def _move_mutual_recognition(pki: PKI) -> None:
    """Move the Mutual Recognition sub-CA of earlier installations to its own folder, which has a rule of its own."""
    before = pki.client_trust / "intermediates" / f"{MUTUAL_RECOGNITION_CA}.pem"
    if before.exists():
        _write(pki.client_trust / "mutual-recognition" / before.name, before.read_bytes())
        before.unlink()


def _write_client_side(pki: PKI, passwords: Mapping[str, str], now: datetime, host: str) -> None:
    begins = now - timedelta(days=3650)
    top = ca.root("Hongkong Post Root CA 2 (Test)", "RootCA2ARL", begins=begins, years=25)
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(_ANY_POLICY), None)])
    extensions = [*top.pointers(host), (policies, False)]
    subs = {
        f"ca-2-{number}": ca.subordinate(
            top,
            f"Hongkong Post e-Cert CA 2 - {number} (Test)",
            f"eCertCA2-{number}CRL1",
            begins=begins + timedelta(days=365),
            years=15,
            extensions=extensions,
        )
        for number in (17, 15)
    }
    _write(pki.client_trust / "anchors" / "root-ca-2.pem", ca.certificate_pem(top.certificate))
    for file, sub in subs.items():
        kind = "mutual-recognition" if file == MUTUAL_RECOGNITION_CA else "intermediates"
        _write(pki.client_trust / kind / f"{file}.pem", ca.certificate_pem(sub.certificate))
    everyone = (top.certificate, *(sub.certificate for sub in subs.values()))
    _write(pki.gateway / "client-cas.pem", ca.certificate_pem(*everyone))
    revoked = {file: list[int]() for file in ("root-ca-2", *subs)}
    for sample in SAMPLES:
        leaf = _write_sample(
            pki.people, sample, subs[sample.issuer], top, passwords[sample_password(sample)], now, host
        )
        if sample.revoked:
            revoked[sample.issuer].append(leaf.serial_number)
    for file, authority in {"root-ca-2": top, **subs}.items():
        write_private(pki.client_ca_keys / f"{file}.key", ca.key_pem(authority.key))
        _write(pki.client_ca_keys / f"{file}.pem", ca.certificate_pem(authority.certificate))
        entries = [{"serial": f"{serial:x}", "at": now.isoformat()} for serial in revoked[file]]
        _write(pki.client_ca_keys / f"{file}.revoked.json", json.dumps(entries).encode())


def _write_sample(
    folder: Path, sample: SampleECert, issuer: Authority, top: Authority, password: str, now: datetime, host: str
) -> x509.Certificate:
    key = ca.rsa_key(2048)
    leaf = ca.sign(
        _subject(sample),
        key.public_key(),
        issuer=issuer.certificate.subject,
        key=issuer.key,
        lives=(now - timedelta(days=sample.begins_days_ago), now + timedelta(days=sample.ends_in_days)),
        extensions=[*_leaf_extensions(sample), *issuer.pointers(host)],
    )
    chain = [issuer.certificate, top.certificate]
    write_private(folder / f"{sample.file}.p12", ca.pkcs12_file(sample.file, key, leaf, chain, password))
    write_private(folder / f"{sample.file}.key", ca.key_pem(key))
    _write(folder / f"{sample.file}.pem", ca.certificate_pem(leaf, issuer.certificate))
    return leaf


def _subject(sample: SampleECert) -> x509.Name:
    person, organisation = sample.person, sample.person.organisation
    if sample.ecert_class is ECertClass.PERSONAL:
        units = (sample.srn, sample.ecert_class.value)
        return ca.name(person.name, "Hongkong Post (Test)", units=units, email=person.email)
    # As the CA lays it out: SRN, registration number padded with zeros, class, branch.
    units_of_work = (sample.srn, f"{organisation.brn:0<32}", sample.ecert_class.value, organisation.branch)
    return ca.name(person.name, organisation.name, units=units_of_work, email=person.email)


def _leaf_extensions(sample: SampleECert) -> list[ca.Extension]:
    enciphers = sample.ecert_class is ECertClass.ENCIPHERMENT
    signs = not enciphers
    usage = x509.KeyUsage(signs, signs, enciphers, False, False, False, False, False, False)
    oids = [POLICY_OIDS[sample.ecert_class]]
    if sample.issuer == MUTUAL_RECOGNITION_CA:
        oids.append(MUTUAL_RECOGNITION_OID)
    policies = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.CertificatePolicies(policies), False),
        (x509.SubjectAlternativeName([x509.RFC822Name(sample.person.email)]), False),
    ]


def _write_server_side(pki: PKI, now: datetime) -> None:
    begins = now - timedelta(days=3000)
    top = ca.root("Hongkong Post Root CA 3 (Test)", "RootCA3ARL", begins=begins, years=24)
    policies = [x509.PolicyInformation(x509.ObjectIdentifier(_ORGANISATION_VALIDATED), None)]
    sub = ca.subordinate(
        top,
        "Hongkong Post e-Cert SSL CA 3 - 17 (Test)",
        "eCertSCA3-17CRL1",
        begins=begins + timedelta(days=30),
        years=15,
        extensions=[
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.CertificatePolicies(policies), False),
            *top.pointers(PUBLICATION),
        ],
    )
    _write(pki.server / "root.pem", ca.certificate_pem(top.certificate))
    _write(pki.server / "ca.pem", ca.certificate_pem(sub.certificate))
    _write(pki.server / "chain.pem", ca.certificate_pem(sub.certificate, top.certificate))
    write_private(pki.server / "ca.key", ca.key_pem(sub.key))
    _write(pki.publication / f"{top.file}.crt", top.certificate.public_bytes(Encoding.DER))
    _write(pki.publication / f"{top.file}.crl", ca.crl(top, [], now, lifetime=_ROOTS_CRL_LIFETIME))


def _write_print_key(pki: PKI, now: datetime) -> None:
    key = ca.rsa_key(3072)
    subject = ca.name("PIN Envelope printer", "Hongkong Post (Test)")
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    certificate = ca.sign(
        subject,
        key.public_key(),
        issuer=subject,
        key=key,
        lives=(now - timedelta(days=1), now + timedelta(days=1825)),
        extensions=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (usage, True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ],
    )
    _write(pki.print_process / "print.pem", ca.certificate_pem(certificate))
    write_private(pki.print_process / "print.key", ca.key_pem(key))


def write_signing_key(folder: Path, service: str) -> None:
    """Write a private key, and its public half as a key set."""
    file = folder / f"{service}.key"
    write_private(file, ca.key_pem(ec.generate_private_key(ec.SECP256R1())))
    jwks = {"keys": [SigningKey.load(file).jwk()]}
    _write(folder / f"{service}-jwks.json", json.dumps(jwks, indent=1).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
