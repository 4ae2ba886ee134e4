"""`python -m deploy.k8s.dev_secrets`: the Secrets of a development cluster, from a test PKI of its own.

They are kept in a folder: a second run repeats keys and passwords, and re-creates only CRLs and inside certificates.
"""

import argparse
import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from deploy.gateway.rules import BACKENDS
from deploy.k8s.generated import CLIENT_CAS, LOGS_SERVICE, service_of
from deploy.local import perspectives, pki, stack
from deploy.local.ct import logs as transparency_logs
from deploy.local.ct.logs import LOG_LIST
from deploy.local.dns.updates import UPDATE_KEY, update_keys
from deploy.local.dns.zone import ANCHOR, KEY_FILES, SignedZone
from deploy.local.inside import InsideCA
from deploy.local.installation import Installation, Ports
from deploy.postgres.roles import DESK, EXTRA_ROLES, SERVICES

TRANSPARENCY_URL: Final = f"http://{LOGS_SERVICE}:8091"
FOLDER: Final = Path(".local") / "dev-cluster"
Secrets = dict[str, dict[str, bytes]]


def make(installation: Installation, *, now: datetime, hosts: tuple[str, ...] = ()) -> Secrets:
    """Return all Secrets by name and key; the services' certificates cover these hosts, too."""
    pki.create(installation.pki, installation.passwords, now=now)
    transparency_logs.create(installation.transparency, TRANSPARENCY_URL, now=now)
    return {
        **_keys(installation.pki, installation.transparency),
        **_dns(installation.dns),
        **_inside(installation.folder / "inside", now, hosts),
        **_logins(installation),
    }


def _keys(made: pki.PKI, transparency: Path) -> Secrets:
    """Return the Secrets that are files."""
    signing = made.signing
    files: dict[str, dict[str, Path]] = {
        "identity-signing-key": {"identity.key": signing / "identity.key"},
        "identity-public-keys": {"jwks.json": signing / "identity-jwks.json"},
        "application-signing-key": {"application.key": signing / "application.key"},
        "application-public-keys": {"jwks.json": signing / "application-jwks.json"},
        "payment-signing-key": {"payment.key": signing / "payment.key"},
        "payment-public-keys": {"jwks.json": signing / "payment-jwks.json"},
        "desk-signing-key": {"desk.key": signing / "desk.key"},
        "desk-public-keys": {"jwks.json": signing / "desk-jwks.json"},
        "issuance-feed-key": {"issuance-feed.key": signing / f"{pki.FEED_KEY}.key"},
        "issuance-feed-public-keys": {"jwks.json": signing / f"{pki.FEED_KEY}-jwks.json"},
        "issuance-ca-key": {"ca.key": made.server / "ca.key"},
        "issuance-ca-certificate": {"ca.pem": made.server / "ca.pem", "chain.pem": made.server / "chain.pem"},
        "issuance-publication": _all(made.publication),
        "issuance-pin-pepper": {"pin-pepper": made.pepper},
        "issuance-transparency-logs": {LOG_LIST: transparency / LOG_LIST},
        "transparency-log-keys": {
            **{file.name: file for file in transparency_logs.key_files(transparency)},
            "roots.pem": made.server / "root.pem",
        },
        "mailing-print-key": {"print.key": made.print_process / "print.key"},
        "print-certificate": {"print.pem": made.print_process / "print.pem"},
        "portal-session-keys": {"keys": made.portal_sessions},
        "client-anchors": _all(made.client_trust / "anchors"),
        "client-intermediates": _all(made.client_trust / "intermediates"),
        "client-mutual-recognition": _all(made.client_trust / "mutual-recognition"),
        "client-crls": _all(made.client_crls),
        **{name: {"ca.crt": made.client_cas[clients]} for clients, name in CLIENT_CAS.items()},
        "staff-ca": {"ca.crt": made.staff / "ca.pem"},
        "staff-crl": _all(made.staff_crls),
        "gateway-root": {"root.pem": made.gateway / "root.pem"},
        "ecert-gateway-tls": {"tls.crt": made.gateway / "tls.pem", "tls.key": made.gateway / "tls.key"},
    }
    for service in SERVICES:
        files[f"{service}-audit-key"] = {"audit.key": signing / f"{service}-audit.key"}
        files[f"{service}-fingerprint-key"] = {"fingerprint.key": made.fingerprint_key(service)}
    return {name: {key: path.read_bytes() for key, path in keys.items()} for name, keys in files.items()}


def _dns(folder: Path) -> Secrets:
    """Return the keys of the name server's zone and of its updates, and the trust anchor of the resolvers."""
    folder.mkdir(parents=True, exist_ok=True)
    SignedZone(folder, {})
    update_keys(folder)
    return {
        "name-server-keys": {name: (folder / name).read_bytes() for name in (*KEY_FILES, UPDATE_KEY)},
        "name-server-anchor": {ANCHOR: (folder / ANCHOR).read_bytes()},
    }


def _all(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def _inside(folder: Path, now: datetime, hosts: tuple[str, ...]) -> Secrets:
    """Return the Secrets that cert-manager creates in production."""
    folder.mkdir(parents=True, exist_ok=True)
    services = InsideCA.make("services", now=now)
    found: Secrets = {"services-ca": {"ca.crt": services.pem}}
    for name in (*map(service_of, BACKENDS), *(f"{service}-operate" for service in stack.OPERATED)):
        services.issue((name, *hosts), folder / name)
        found[f"{name}-tls"] = _pair(folder / name)
    asked = folder / "perspectives"
    perspectives.write(asked, {place.name: 8443 for place in perspectives.PLACES}, now)
    found["perspectives-ca"] = {"ca.crt": (asked / "ca.pem").read_bytes()}
    found["issuance-ca"] = {"ca.crt": (asked / "clients.pem").read_bytes()}
    found["issuance-perspectives-tls"] = _pair(asked / "issuance")
    found |= {f"perspective-{place.name}-tls": _pair(asked / place.name) for place in perspectives.PLACES}
    for client in ("gateway", DESK):
        issuer = InsideCA.make(client, now=now)
        issuer.issue((client,), folder / client)
        found[f"{client}-client-tls"] = _pair(folder / client) | {"ca.crt": issuer.pem}
    return found


def _pair(file: Path) -> dict[str, bytes]:
    return {"tls.crt": file.with_suffix(".pem").read_bytes(), "tls.key": file.with_suffix(".key").read_bytes()}


def _logins(installation: Installation) -> Secrets:
    """Return the Secrets that become environment variables, and their counterparts at the databases."""
    provider = stack.sandbox_environment(installation)
    found: Mapping[str, dict[str, str]] = {
        "payment-provider": {
            "api-key": provider["SANDBOX_API_KEY"],
            "webhook-secrets": provider["SANDBOX_WEBHOOK_SECRETS"],
        },
        "mailing-smtp": {"url": "smtp://mailbox:1025"},
        **{name: {"url": _url(installation, service, role)} for name, (service, role) in _ROLES.items()},
        **{f"{service}-db-passwords": _passwords(installation, service) for service in SERVICES},
    }
    return {name: {key: value.encode() for key, value in keys.items()} for name, keys in found.items()}


_ROLES: Final = {
    **{f"{service}-database": (service, service) for service in SERVICES},
    **{f"{service}-migrate-database": (service, f"{service}_migrate") for service in SERVICES},
    **{
        f"{role.replace('_', '-')}-database": (service, role)
        for service, roles in EXTRA_ROLES.items()
        for role in roles
    },
}


def _url(installation: Installation, service: str, role: str) -> str:
    password = quote(installation.passwords[f"postgres/{role}"], safe="")
    return f"postgresql://{role}:{password}@{service}-db-rw:5432/{service}"


def _passwords(installation: Installation, service: str) -> dict[str, str]:
    """Return the superuser's password, and an SQL file with those of the roles that roles.sql creates."""
    roles = (f"{service}_migrate", service, *EXTRA_ROLES.get(service, ()))
    lines = (f"ALTER ROLE {role} PASSWORD '{installation.passwords[f'postgres/{role}']}';\n" for role in roles)
    return {"postgres": installation.passwords["postgres/superuser"], "passwords.sql": "".join(lines)}


def manifest(secrets: Secrets) -> dict[str, Any]:
    """Return a List of Secrets for `kubectl apply`."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": "ecert"},
                "data": {key: b64encode(value).decode() for key, value in keys.items()},
            }
            for name, keys in secrets.items()
        ],
    }


def main() -> None:
    """Print the Secrets."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.dev_secrets", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"folder for the keys (default: {FOLDER})")
    options = parser.parse_args()
    installation = Installation.open(options.folder, Ports())
    print(json.dumps(manifest(make(installation, now=datetime.now(UTC).replace(microsecond=0)))))


if __name__ == "__main__":
    main()
