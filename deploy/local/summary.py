"""Output of `make run` once everything is ready: addresses and credentials."""

from collections.abc import Collection, Iterator

from deploy.gateway.rules import API_HOST, BACK_OFFICE_HOST, FEED, SIGN_IN_HOST
from deploy.kafka.topics import READERS, group_prefix
from deploy.local import back_office, pki, stack, staff
from deploy.local.installation import Installation
from deploy.local.people import SAMPLES


def summary(installation: Installation, processes: Collection[str]) -> str:
    """Return the addresses of what runs: `processes` are the names."""
    ports, pki_files = installation.ports, installation.pki
    places = (
        ("portal-web", "Portal", f"{stack.portal_url(installation)}/"),
        ("mailbox", "Inbox", f"http://127.0.0.1:{ports.mailbox}/"),
        ("desk-web", "Desk", f"{stack.desk_url(installation)}/   (asks for a staff certificate)"),
        ("mailing-print", "Posted letters", str(installation.posting)),
        (
            "application-web",
            "API",
            f"https://{API_HOST}:{ports.gateway}/   (each service: /NAME/v1/, described in /NAME/v1/openapi.json)",
        ),
        ("identity-web", "Sign-in", f"https://{SIGN_IN_HOST}:{ports.gateway}/   (asks for an e-Cert)"),
        (
            FEED,
            "Back office",
            f"https://{BACK_OFFICE_HOST}:{ports.gateway}/issuance/v1/issuance-events   (asks for a client certificate)",
        ),
        ("payment-sandbox", "Payment sandbox", f"http://127.0.0.1:{ports.sandbox}   (a checkout leads there)"),
        ("postgres", "PostgreSQL", f"127.0.0.1:{ports.postgres}   (passwords: {installation.folder}/passwords.json)"),
        ("kafka", "Kafka", f"127.0.0.1:{ports.kafka}   (SASL_PLAINTEXT, SCRAM-SHA-512; passwords: as above)"),
        ("gateway", "Gateway's root", f"{pki_files.gateway / 'root.pem'}   (to be trusted by the browser)"),
        ("issuance-web", "CRLs", f"http://127.0.0.1:{ports.publication}/crl/   (CA certificates: /root/)"),
        ("issuance-work", "Server CA's root", str(pki_files.server / "root.pem")),
        (
            "dns",
            "DNS",
            ".venv/bin/python -m deploy.local.dns publish NAME TXT VALUE   (withdraw, show; resolvers validate)",
        ),
        ("", "Logs", str(installation.logs)),
    )
    lines = [f"{what:20}{where}" for process, what, where in places if not process or process in processes]
    if "identity-web" in processes:
        lines += _samples(installation)
    return "\n".join(lines)


def _samples(installation: Installation) -> Iterator[str]:
    yield ""
    yield f"Sample e-Certs in {installation.pki.people} (NAME.p12 with its password; NAME.pem and NAME.key without):"
    for sample in SAMPLES:
        password = installation.passwords[pki.sample_password(sample)]
        yield f"  {sample.file + '.p12':40} {password}  {sample.what}"
    yield ""
    yield f"Sample members of staff in {installation.pki.staff} (NAME.p12 with its password; NAME.pem and NAME.key):"
    for member in staff.MEMBERS:
        yield f"  {member.file + '.p12':40} {installation.passwords[staff.password_name(member)]}  {member.what}"
    yield ""
    yield f"Sample clients of the back office in {installation.pki.back_office} (NAME.pem and NAME.key):"
    for client in back_office.CLIENTS:
        yield f"  {client.name:40} {client.what}"
    yield ""
    yield "Their Kafka users and passwords:"
    for name in READERS:
        password = installation.passwords[f"kafka/{name}"]
        yield f"  {name:40} {password}  reads issuance.events in groups {group_prefix(name)}…"
    yield f"  set -a; . {installation.kit_environment}; set +a; .venv/bin/python -m backoffice follow"
