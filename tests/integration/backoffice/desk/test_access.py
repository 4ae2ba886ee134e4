"""Access to the desk: staff with a valid certificate and a role only; a refused visitor sees the reason."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from backoffice.desk import reading, staff
from backoffice.desk.roles import Role
from deploy.local import authority
from deploy.local import staff as local_staff
from deploy.local.crls import revoke, write_crls
from shared.tx import transaction
from tests.integration.backoffice.desk.world import World
from tests.support.builders import NOW, certificate, pem


def title(world: World, member: str | None) -> tuple[int, str]:
    page = world.client(member).get("/")
    found = re.search(r"<h1[^>]*>(.*?)</h1>", page.text)
    assert found
    return page.status_code, found[1]


@pytest.mark.parametrize(
    "member", [member.file for member in local_staff.MEMBERS if member.roles and not member.revoked]
)
def test_member_of_staff_with_a_role_is_admitted(world: World, member: str) -> None:
    assert title(world, member) == (200, "Find a certificate")


@pytest.mark.parametrize(
    ("member", "answer"),
    [
        (None, (401, "Your browser showed no certificate")),
        ("fung-chi-ho-revoked", (403, "Your staff certificate was revoked")),
        ("ng-pui-shan-no-role", (403, "You have no role at the desk")),
        ("lau-wing-yan-expired", (403, "Your staff certificate is not valid today")),
    ],
)
def test_refused_visitor_sees_the_reason(world: World, member: str | None, answer: tuple[int, str]) -> None:
    assert title(world, member) == answer


@pytest.mark.parametrize(("member", "number"), [("fung-chi-ho-revoked", "S1007"), ("ng-pui-shan-no-role", "S1006")])
def test_refused_staff_certificate_is_audited(world: World, member: str, number: str) -> None:
    title(world, member)
    assert world.rows("SELECT actor FROM audit_log WHERE action = 'not-let-in'") == [(number,)]


def test_refusal_page_shows_only_the_reason(world: World) -> None:
    page = world.client("ng-pui-shan-no-role").get("/renewals/2b9c1c1e-7a55-4b3e-9a35-0f2f6f5d8c11")
    assert page.status_code == 403
    assert "Waiting" not in page.text


def test_stylesheet_of_the_refusal_page_is_public(world: World) -> None:
    with world.client(None).get("/static/desk.css") as style:
        assert style.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        'Subject="CN=LAU Wing Yan,serialNumber=S1001"',
        'Hash=00;Cert="x"',
        'Cert="-----BEGIN%20CERTIFICATE-----"',
        "{good},{good}",
        "{good};Subject=x",
    ],
)
def test_header_in_another_form_than_envoys_is_no_certificate(world: World, header: str) -> None:
    client = world.client(None)
    client.environ_base["HTTP_X_FORWARDED_CLIENT_CERT"] = header.format(good=world.staff.header("lau-wing-yan"))
    page = client.get("/")
    assert (page.status_code, "cannot be read" in page.text) == (403, True)


def test_certificate_of_another_ca_is_refused(world: World) -> None:
    client = world.client(None)
    client.environ_base["HTTP_X_FORWARDED_CLIENT_CERT"] = f'Cert="{quote(pem(certificate("S1001")), safe="")}"'
    page = client.get("/")
    assert (page.status_code, "not a staff certificate" in page.text) == (403, True)


def test_staff_cas_own_certificate_is_refused(world: World) -> None:
    client = world.client(None)
    ca = (world.staff.folder / "ca.pem").read_text()
    client.environ_base["HTTP_X_FORWARDED_CLIENT_CERT"] = f'Cert="{quote(ca, safe="")}"'
    assert client.get("/").status_code == 403


def with_number(world: World, number: str) -> str:
    """Return the operator's certificate, but with her staff number spelled like this."""
    known = x509.load_pem_x509_certificate((world.staff.folder / "yip-hoi-ching.pem").read_bytes())
    key = load_pem_private_key((world.staff.keys / f"{local_staff.CA}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    others = [each for each in known.subject if each.oid != NameOID.SERIAL_NUMBER]
    made = authority.sign(
        x509.Name([*others, x509.NameAttribute(NameOID.SERIAL_NUMBER, number)]),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        issuer=known.issuer,
        key=key,
        lives=(known.not_valid_before_utc, known.not_valid_after_utc),
        extensions=[(each.value, each.critical) for each in known.extensions],
    )
    return f'Cert="{quote(authority.certificate_pem(made), safe="")}"'


@pytest.mark.parametrize("number", ["s1003", "S1003 ", " S1003", "S1003-", "desk", "S" * 33])
def test_other_spelling_of_a_staff_number_is_the_same_person(world: World, number: str) -> None:
    """Else she confirmed what she herself had proposed."""
    with world.pool.connection() as conn:
        conn.execute(
            "INSERT INTO staff (id, name, roles, changed_at, changed_by) VALUES (%s, 'x', '{supervisor}', now(), 'x')",
            (number,),
        )
    client = world.client(None)
    client.environ_base["HTTP_X_FORWARDED_CLIENT_CERT"] = with_number(world, number)
    page = client.get("/")
    assert (page.status_code, "not a staff certificate" in page.text) == (403, True)
    with pytest.raises(staff.StaffNumberRefused, match="no staff number"), transaction(world.pool) as tx:
        staff.assign(tx, number, "YIP Hoi Ching", [Role.SUPERVISOR], actor="test")


def test_staff_number_in_its_usual_spelling_is_admitted(world: World) -> None:
    client = world.client(None)
    client.environ_base["HTTP_X_FORWARDED_CLIENT_CERT"] = with_number(world, "S1003")
    assert client.get("/").status_code == 200


def missing(file: Path, world: World) -> None:
    file.unlink()


def empty(file: Path, world: World) -> None:
    file.write_bytes(b"")


def outdated(file: Path, world: World) -> None:
    _made(file, world, NOW - timedelta(days=2))


def of_tomorrow(file: Path, world: World) -> None:
    _made(file, world, NOW + timedelta(days=1))


def of_another_ca(file: Path, world: World) -> None:
    other = file.parent / "other"
    passwords = dict.fromkeys(map(local_staff.password_name, local_staff.MEMBERS), "x")
    local_staff.write(other, other / "keys", passwords, now=NOW)
    write_crls(other / "keys", other / "crls", NOW)
    file.write_bytes((other / "crls" / f"{local_staff.CA}.crl").read_bytes())


def changed(file: Path, world: World) -> None:
    der = bytearray(file.read_bytes())
    der[-1] ^= 1
    file.write_bytes(der)


def _made(file: Path, world: World, when: datetime) -> None:
    write_crls(world.staff.keys, file.parent / "crls", when)
    file.write_bytes((file.parent / "crls" / f"{local_staff.CA}.crl").read_bytes())


@pytest.mark.parametrize("spoil", [missing, empty, outdated, of_tomorrow, of_another_ca, changed])
def test_nobody_is_admitted_without_a_current_staff_crl(
    world: World, crl_file: Path, spoil: Callable[[Path, World], None]
) -> None:
    spoil(crl_file, world)
    for member in ("lau-wing-yan", "fung-chi-ho-revoked"):
        assert title(world, member) == (503, "Sign-in is unavailable at the moment")


def test_revocation_takes_effect_with_the_next_request(world: World, crl_file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for file in world.staff.keys.iterdir():
        (keys / file.name).write_bytes(file.read_bytes())
    assert title(world, "yip-hoi-ching")[0] == 200
    certificate = x509.load_pem_x509_certificate((world.staff.folder / "yip-hoi-ching.pem").read_bytes())
    revoke(keys, tmp_path / "crls", certificate, NOW)
    crl_file.write_bytes((tmp_path / "crls" / f"{local_staff.CA}.crl").read_bytes())
    assert title(world, "yip-hoi-ching") == (403, "Your staff certificate was revoked")


def test_role_removal_takes_effect_with_the_next_request(world: World) -> None:
    with world.pool.connection() as conn:
        conn.execute("UPDATE staff SET roles = '{}' WHERE id = 'S1001'")
    assert title(world, "lau-wing-yan") == (403, "You have no role at the desk")


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.IdleInTransactionSessionTimeout, psycopg.OperationalError],
)
def test_desk_answers_503_while_its_database_is_unavailable(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("as the test wants it")

    monkeypatch.setattr(reading, "list_items", fail)
    assert world.client(local_staff.MEMBERS[0].file).get("/certificates/waiting").status_code == 503
