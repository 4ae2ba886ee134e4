"""Environment of each process: with our own engines, or with external ones whose addresses are set."""

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.gateway.rules import API_HOST, BACK_OFFICE_HOST, DESK_HOST, PORTAL_HOST, SIGN_IN_HOST, SIGN_IN_TLS_1_2_HOST
from deploy.local.ct.logs import LOG_LIST
from deploy.local.installation import ROOT, Installation
from deploy.local.people import POLICY_OIDS, ECertClass
from deploy.local.perspectives import LIST as PERSPECTIVES
from deploy.local.pki import FEED_KEY, PUBLICATION
from deploy.local.staff import CA as STAFF_CA
from deploy.postgres.roles import DESK, SERVICES

_KAFKA_SETTINGS: Final = ("KAFKA_SECURITY_PROTOCOL", "KAFKA_CA_FILE", "KAFKA_CERTIFICATE_FILE", "KAFKA_KEY_FILE")
# Inherited variables: enough to run programs; nothing that points to other servers, except a trace collector.
_INHERITED: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV"),
    # The clock of a rehearsal (devtools.clock).
    *("LD_PRELOAD", "SET_CLOCK_FILE"),
)
OPERATED: Final = tuple(SERVICES)
# identity consumes no events, so it holds none.
CONSUMING: Final = tuple(service for service in SERVICES if service != "identity")
STATE_VARIABLE: Final = "ECERT_STATE_FOLDER"


@dataclass(frozen=True, kw_only=True)
class Outside:
    """External engines that are used instead of our own."""

    variables: Mapping[str, str]

    @property
    def kafka(self) -> bool:
        """Whether Kafka is external; its topics and users are created by its owner."""
        return "KAFKA_BOOTSTRAP_SERVERS" in self.variables

    @property
    def mail(self) -> bool:
        """Whether the mail server is external."""
        return "SMTP_URL" in self.variables

    def database(self, service: str) -> bool:
        """Return whether the service's database is external."""
        return f"{service.upper()}_DATABASE_URL" in self.variables

    @property
    def every_database(self) -> bool:
        """Whether all databases are external, so that no PostgreSQL of our own is needed."""
        return all(map(self.database, SERVICES))


def outside() -> Outside:
    """Return the external engines that this process's environment names."""
    return Outside(variables=dict(os.environ))


def base_environment(installation: Installation) -> dict[str, str]:
    """Return the environment of every process. The state folder marks all of them as this installation's."""
    return {
        **{name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("OTEL_")},
        STATE_VARIABLE: str(installation.folder),
        # Followed by the caller's path: the tests trace every process.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",
        "TZ": "UTC",
    }


def service_environment(installation: Installation, service: str, there: Outside) -> dict[str, str]:
    """Return the environment of a service's processes, except `print`."""
    pki = installation.pki
    return {
        **base_environment(installation),
        "ENVIRONMENT": "local",
        "LOG_LEVEL": there.variables.get("LOG_LEVEL", "INFO"),
        "WEB_THREADS": "8",
        "IDENTITY_JWKS_FILE": str(pki.signing / "identity-jwks.json"),
        "AUDIT_KEY_FILE": str(pki.signing / f"{service}-audit.key"),
        "FINGERPRINT_KEY_FILE": str(pki.fingerprint_key(service)),
        f"{service.upper()}_DATABASE_URL": _database_url(installation, service, service, there),
        **_kafka(installation, service, there),
        **_own(installation, service, there),
    }


def migrate_environment(installation: Installation, service: str, there: Outside) -> dict[str, str]:
    """Return the environment of `migrate`, with the role that owns the tables. Running services never get it."""
    name = f"{service.upper()}_MIGRATE_DATABASE_URL"
    url = there.variables.get(name) or _database_url(installation, service, f"{service}_migrate", there)
    return service_environment(installation, service, there) | {name: url}


def print_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return the environment of the print process, with its own role; the only one with the print key."""
    url = there.variables.get("PRINT_DATABASE_URL") or _database_url(installation, "mailing", "mailing_print", there)
    return {
        **base_environment(installation),
        "ENVIRONMENT": "local",
        "LOG_LEVEL": there.variables.get("LOG_LEVEL", "INFO"),
        "PRINT_DATABASE_URL": url,
        "PRINT_KEY_FILE": str(installation.pki.print_process / "print.key"),
        "PRINT_CERTIFICATE_FILE": str(installation.pki.print_process / "print.pem"),
        "POSTING_DIR": str(installation.posting),
        "PORTAL_URL": portal_url(installation),
        # Batches close every few seconds here, not every hour.
        "POSTING_BATCH_SECONDS": "2",
    }


def relay_environment(installation: Installation, service: str, there: Outside) -> dict[str, str]:
    """Return the environment of a relay; issuance's signs the events of the feed."""
    signing = installation.pki.signing
    own = {"FEED_KEY_FILE": str(signing / f"{FEED_KEY}.key"), "FEED_JWKS_FILE": str(signing / f"{FEED_KEY}-jwks.json")}
    return {**service_environment(installation, service, there), **(own if service == "issuance" else {})}


def operate_environment(installation: Installation, service: str, there: Outside) -> dict[str, str]:
    """Return the environment of an operator API, which listens on a socket that no route leads to."""
    own = {
        "BIND": f"unix:{installation.operators_socket(service)}",
        "WEB_THREADS": "2",
        "DESK_JWKS_FILE": str(installation.pki.signing / f"{DESK}-jwks.json"),
    }
    return {**service_environment(installation, service, there), **own}


def desk_web_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return the environment of the desk's web process, with the key of its tokens and the addresses of the operator
    APIs.
    """
    own = {
        "DESK_SIGNING_KEY_FILE": str(installation.pki.signing / f"{DESK}.key"),
        "OPERATORS": ",".join(f"{each}=unix:{installation.operators_socket(each)}" for each in OPERATED),
    }
    return {**service_environment(installation, DESK, there), **own}


def feed_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return the environment of the feed's process, which outsiders reach: its own role, and public keys only."""
    url = there.variables.get("FEED_DATABASE_URL") or _database_url(installation, "issuance", "issuance_feed", there)
    return {
        **base_environment(installation),
        "LOG_LEVEL": there.variables.get("LOG_LEVEL", "INFO"),
        # Each waiting request needs a thread.
        "WEB_THREADS": "32",
        "FEED_DATABASE_URL": url,
        "FEED_JWKS_FILE": str(installation.pki.signing / f"{FEED_KEY}-jwks.json"),
    }


def kit_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return the environment of the consumer kit, as an outsider has it: a client certificate, a principal, no key of
    ours.
    """
    port, folder = installation.ports.gateway, installation.pki.back_office
    own = {} if there.kafka else _kafka(installation, "backoffice", there)
    return {
        **own,
        "FEED_URL": f"https://{BACK_OFFICE_HOST}:{port}",
        "FEED_ADDRESS": f"127.0.0.1:{port}",
        "FEED_CLIENT_CERTIFICATE_FILE": str(folder / "backoffice.pem"),
        "FEED_CLIENT_KEY_FILE": str(folder / "backoffice.key"),
        "FEED_CA_FILE": str(installation.pki.gateway / "root.pem"),
        "BACKOFFICE_STATE_FILE": str(installation.folder / "backoffice.sqlite"),
    }


def sandbox_environment(installation: Installation) -> dict[str, str]:
    """Return the environment of the payment sandbox, which reaches us through the gateway, as a real provider does."""
    return {
        **base_environment(installation),
        "SANDBOX_API_KEY": _sandbox_key(installation),
        "SANDBOX_WEBHOOK_URL": f"https://127.0.0.1:{installation.ports.gateway}/payment/v1/provider-webhooks",
        "SANDBOX_WEBHOOK_SECRETS": _webhook_secret(installation),
        "SANDBOX_WEBHOOK_TLS_NAME": API_HOST,
        "SANDBOX_WEBHOOK_CA_FILE": str(installation.pki.gateway / "root.pem"),
    }


def perspectives_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return what the environments of all perspectives have in common: no key of ours."""
    return {
        **base_environment(installation),
        "ENVIRONMENT": "local",
        "LOG_LEVEL": there.variables.get("LOG_LEVEL", "INFO"),
        "WEB_THREADS": "4",
        "TLS_CLIENT_CA_FILE": str(installation.pki.perspectives / "clients.pem"),
        # The local zone has no other addresses.
        "LOCAL_NETWORKS": "127.0.0.0/8",
        "LOCAL_PORTS": ",".join(map(str, installation.file_ports)),
    }


def validate_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return the environment of issuance's `validate`, which asks the perspectives."""
    folder = installation.pki.perspectives
    return {
        **service_environment(installation, "issuance", there),
        "PERSPECTIVES_CA_FILE": str(folder / "ca.pem"),
        "PERSPECTIVES_CERTIFICATE_FILE": str(folder / "issuance.pem"),
        "PERSPECTIVES_KEY_FILE": str(folder / "issuance.key"),
    }


def portal_environment(installation: Installation, there: Outside) -> dict[str, str]:
    """Return the environment of the portal, a client of the gateway without any privilege."""
    port = installation.ports.gateway
    return {
        **base_environment(installation),
        "ENVIRONMENT": "local",
        "LOG_LEVEL": there.variables.get("LOG_LEVEL", "INFO"),
        "WEB_THREADS": "8",
        "PORTAL_URL": portal_url(installation),
        "API_URL": f"https://{API_HOST}:{port}",
        "SIGN_IN_URL": f"https://{SIGN_IN_HOST}:{port}",
        "TOKEN_SIGN_IN_URL": f"https://{SIGN_IN_TLS_1_2_HOST}:{port}",
        # Python does not resolve names under .localhost.
        "GATEWAY_ADDRESS": f"127.0.0.1:{port}",
        "GATEWAY_CA_FILE": str(installation.pki.gateway / "root.pem"),
        "PORTAL_SESSION_KEYS_FILE": str(installation.pki.portal_sessions),
        "CA_NAME": there.variables.get("CA_NAME", "Hongkong Post e-Cert"),
        "OPERATOR_NAME": there.variables.get("OPERATOR_NAME", "Certizen Limited"),
    }


def portal_url(installation: Installation) -> str:
    """Return the portal's address for e-mails, letters and the payment provider."""
    return f"https://{PORTAL_HOST}:{installation.ports.gateway}"


def desk_url(installation: Installation) -> str:
    """Return the desk's address."""
    return f"https://{DESK_HOST}:{installation.ports.gateway}"


def _own(installation: Installation, service: str, there: Outside) -> dict[str, str]:
    """Return the variables of one service only."""
    pki = installation.pki
    match service:
        case "identity":
            return {
                "IDENTITY_SIGNING_KEY_FILE": str(pki.signing / "identity.key"),
                "APPLICATION_JWKS_FILE": str(pki.signing / "application-jwks.json"),
                "CLIENT_TRUST_DIR": str(pki.client_trust),
                "CLIENT_CRLS": str(pki.client_crls),
                "ECERT_ORGANISATIONAL_POLICY_OIDS": POLICY_OIDS[ECertClass.ORGANISATIONAL],
                "PORTAL_REDIRECT_URIS": f"{portal_url(installation)}/signed-in",
            }
        case "application":
            return {
                "APPLICATION_SIGNING_KEY_FILE": str(pki.signing / "application.key"),
                "APPLICATION_JWKS_FILE": str(pki.signing / "application-jwks.json"),
            }
        case "payment":
            return {
                "PAYMENT_SIGNING_KEY_FILE": str(pki.signing / "payment.key"),
                "PAYMENT_JWKS_FILE": str(pki.signing / "payment-jwks.json"),
                "PAYMENT_PROVIDER_URL": f"http://127.0.0.1:{installation.ports.sandbox}",
                "PAYMENT_PROVIDER_API_KEY": _sandbox_key(installation),
                "PAYMENT_WEBHOOK_SECRETS": _webhook_secret(installation),
                "PAYMENT_RETURN_URL": f"{portal_url(installation)}/renewals/{{renewal_id}}",
            }
        case "mailing":
            return {
                "APPLICATION_JWKS_FILE": str(pki.signing / "application-jwks.json"),
                "PAYMENT_JWKS_FILE": str(pki.signing / "payment-jwks.json"),
                "SMTP_URL": there.variables.get("SMTP_URL", f"smtp://127.0.0.1:{installation.ports.smtp}"),
                "MAIL_FROM": there.variables.get("MAIL_FROM", "e-Cert renewal <no-reply@ecert.example.hk>"),
                "PORTAL_URL": portal_url(installation),
                # The lease of an e-mail, which delays it after a crash, is ten of these.
                "SMTP_TIMEOUT_SECONDS": "5",
            }
        case "issuance":
            return {
                "APPLICATION_JWKS_FILE": str(pki.signing / "application-jwks.json"),
                "PAYMENT_JWKS_FILE": str(pki.signing / "payment-jwks.json"),
                "PRINT_CERTIFICATE_FILE": str(pki.print_process / "print.pem"),
                "CA_KEY_FILE": str(pki.server / "ca.key"),
                "CA_CERTIFICATE_FILE": str(pki.server / "ca.pem"),
                "CA_CHAIN_FILE": str(pki.server / "chain.pem"),
                "PIN_PEPPER_FILE": str(pki.pepper),
                "CRL_URL": f"{PUBLICATION}/crl/eCertSCA3-17CRL1.crl",
                "CA_ISSUERS_URL": f"{PUBLICATION}/root/eCertSCA3-17CRL1.crt",
                "PUBLICATION_FOLDER": str(pki.publication),
                "SERIAL_SITE_PREFIX": "1",
                "PERSPECTIVES_FILE": str(pki.perspectives / PERSPECTIVES),
                "CAA_ISSUER_DOMAINS": "hongkongpost.gov.hk",
                "VALIDATION_CNAME_SUFFIX": "dcv.ecert.example.hk",
                "CT_LOG_LIST_FILE": str(installation.transparency / LOG_LIST),
            }
        case "desk":
            return {
                "DESK_URL": desk_url(installation),
                "APPLICATION_JWKS_FILE": str(pki.signing / "application-jwks.json"),
                "PAYMENT_JWKS_FILE": str(pki.signing / "payment-jwks.json"),
                "FEED_JWKS_FILE": str(pki.signing / f"{FEED_KEY}-jwks.json"),
                "STAFF_CA_FILE": str(pki.staff / "ca.pem"),
                "STAFF_CRL_FILE": str(pki.staff_crls / f"{STAFF_CA}.crl"),
            }
        case _:
            return {}


def _database_url(installation: Installation, service: str, role: str, there: Outside) -> str:
    if there.database(service):
        return there.variables[f"{service.upper()}_DATABASE_URL"]
    return installation.cluster.url(service, role, installation.passwords[f"postgres/{role}"])


def _kafka(installation: Installation, service: str, there: Outside) -> dict[str, str]:
    if not there.kafka:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": installation.broker.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_USERNAME": service,
            "KAFKA_PASSWORD": installation.passwords[f"kafka/{service}"],
        }
    given = {name: there.variables[name] for name in _KAFKA_SETTINGS if name in there.variables}
    for name in ("KAFKA_USERNAME", "KAFKA_PASSWORD"):
        value = there.variables.get(f"{service.upper()}_{name}") or there.variables.get(name)
        if value:
            given[name] = value
    return {"KAFKA_BOOTSTRAP_SERVERS": there.variables["KAFKA_BOOTSTRAP_SERVERS"], **given}


def _sandbox_key(installation: Installation) -> str:
    return "sk_sandbox_" + installation.passwords["sandbox/api-key"]


def _webhook_secret(installation: Installation) -> str:
    secret = hashlib.sha256(installation.passwords["sandbox/webhook"].encode()).digest()
    return "whsec_" + base64.b64encode(secret).decode()
