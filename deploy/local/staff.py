"""Sample staff of the CA: their own CA, members with certificates, and their roles at the desk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from backoffice.desk import staff
from backoffice.desk.roles import Role
from deploy.local import authority as ca
from deploy.local.authority import Authority
from deploy.local.passwords import write_private
from shared.tx import Tx

# Base name of the sub-CA's files.
CA: Final = "staff-ca"
_ORGANISATION: Final = "Hongkong Post (Test)"


@dataclass(frozen=True, kw_only=True)
class SampleMember:
    """A member of staff with a certificate and roles at the desk."""

    file: str
    id: str
    name: str
    roles: tuple[Role, ...]
    what: str
    revoked: bool = False
    ends_in_days: int = 365


MEMBERS: Final = (
    SampleMember(
        file="lau-wing-yan", id="S1001", name="LAU Wing Yan 劉詠恩", roles=(Role.ENQUIRIES,), what="enquiries: looks up"
    ),
    SampleMember(
        file="cheung-kwok-wai",
        id="S1002",
        name="CHEUNG Kwok Wai 張國偉",
        roles=(Role.MAIL_ROOM,),
        what="mail room: marks PIN Envelopes returned or lost",
    ),
    SampleMember(
        file="yip-hoi-ching",
        id="S1003",
        name="YIP Hoi Ching 葉海晴",
        roles=(Role.OPERATOR,),
        what="operator: redrives held events, proposes to skip one",
    ),
    SampleMember(
        file="tsang-man-kit",
        id="S1004",
        name="TSANG Man Kit 曾文傑",
        roles=(Role.SUPERVISOR,),
        what="supervisor: decides on others' proposals, too",
    ),
    SampleMember(
        file="mok-sze-wan",
        id="S1005",
        name="MOK Sze Wan 莫詩韻",
        roles=(Role.AUDITOR,),
        what="auditor: sees all",
    ),
    SampleMember(
        file="kwok-lai-ying",
        id="S1008",
        name="KWOK Lai Ying 郭麗盈",
        roles=(Role.REGISTRATION,),
        what="registration: proposes to renew register evidence",
    ),
    SampleMember(file="ng-pui-shan-no-role", id="S1006", name="NG Pui Shan 吳佩珊", roles=(), what="without a role"),
    SampleMember(
        file="fung-chi-ho-revoked",
        id="S1007",
        name="FUNG Chi Ho 馮志豪",
        roles=(Role.OPERATOR,),
        what="certificate revoked",
        revoked=True,
    ),
    SampleMember(
        file="lau-wing-yan-expired",
        id="S1001",
        name="LAU Wing Yan 劉詠恩",
        roles=(),
        what="an expired certificate of the first",
        ends_in_days=-1,
    ),
)


def password_name(member: SampleMember) -> str:
    """Return the name of the password of a member's PKCS#12 file."""
    return f"p12/staff/{member.file}"


def write(folder: Path, keys: Path, passwords: Mapping[str, str], *, now: datetime) -> None:
    """Write the CA and its members' certificates: NAME.p12, NAME.pem, NAME.key in `folder`, with ca.pem last.

    `keys` gets what is needed to create the CRL.
    """
    begins = now - timedelta(days=400)
    top = ca.root("Hongkong Post Staff Root CA (Test)", "StaffRootCA", begins=begins, years=20)
    sub = ca.subordinate(top, "Hongkong Post Staff CA 1 (Test)", CA, begins=begins, years=10, extensions=[])
    revoked = []
    for member in MEMBERS:
        certificate = _write_member(folder, member, sub, top, passwords[password_name(member)], now)
        if member.revoked:
            revoked.append({"serial": f"{certificate.serial_number:x}", "at": now.isoformat()})
    write_private(keys / f"{CA}.key", ca.key_pem(sub.key))
    write_private(keys / f"{CA}.revoked.json", json.dumps(revoked))
    write_private(keys / f"{CA}.pem", ca.certificate_pem(sub.certificate))
    write_private(folder / "gateway-cas.pem", ca.certificate_pem(sub.certificate, top.certificate))
    write_private(folder / "ca.pem", ca.certificate_pem(sub.certificate))


def _write_member(
    folder: Path, member: SampleMember, issuer: Authority, top: Authority, password: str, now: datetime
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = ca.sign(
        _subject(member),
        key.public_key(),
        issuer=issuer.certificate.subject,
        key=issuer.key,
        lives=(now - timedelta(days=30), now + timedelta(days=member.ends_in_days)),
        extensions=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False),
        ],
    )
    chain = [issuer.certificate, top.certificate]
    write_private(folder / f"{member.file}.p12", ca.pkcs12_file(member.file, key, certificate, chain, password))
    write_private(folder / f"{member.file}.key", ca.key_pem(key))
    write_private(folder / f"{member.file}.pem", ca.certificate_pem(certificate, issuer.certificate))
    return certificate


def _subject(member: SampleMember) -> x509.Name:
    """Return the subject; its staff number distinguishes people of the same name."""
    given = ca.name(member.name, _ORGANISATION, units=("Staff",))
    return x509.Name([*given, x509.NameAttribute(NameOID.SERIAL_NUMBER, member.id)])


def assign_roles(database_url: str) -> None:
    """Assign the sample members' roles, as the desk's `assign` does; members with a role keep it."""
    with psycopg.connect(database_url) as conn:
        known = {row[0] for row in conn.execute("SELECT id FROM staff").fetchall()}
        for member in MEMBERS:
            if member.roles and member.id not in known:
                tx = Tx(conn=conn, now=datetime.now(UTC))
                staff.assign(tx, member.id, member.name, member.roles, actor="make run")
