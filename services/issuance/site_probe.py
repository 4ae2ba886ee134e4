"""Probe of the CA's test sites (Baseline Requirements 2.2): a valid, a revoked and an expired certificate, over TLS."""

import argparse
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from services.issuance import certificate_store
from services.issuance.ca.authority import IssuingCA
from services.issuance.domain import Certificate
from services.issuance.publication_probe import Fault
from shared.db import Pool
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.tx import Clock, transaction, utc_now

KINDS: Final = ("valid", "revoked", "expired")
_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """A test site and the state that its certificate must have. `address` is where it listens."""

    kind: str
    name: str
    address: tuple[str, int]


def command(read: Callable[[], IssuingCA]) -> OperatorCommand:
    """Return the command. `read` takes the CA's certificate out of the settings."""
    return OperatorCommand(
        help="connect to the test sites; exit status 1 if one has not the certificate that it must have",
        run=lambda pool, options: probe(pool, options.site, read()),
        add_arguments=_arguments,
        while_recovering=True,
    )


def probe(pool: Pool, sites: list[Site], ca: IssuingCA, *, clock: Clock = utc_now) -> Report:
    """Return a row for each site, with `fault` if there is one."""
    rows = [_probed(pool, site, ca, clock) for site in sites]
    return Report(values=rows, failed=any(row["fault"] for row in rows))


def _probed(pool: Pool, site: Site, ca: IssuingCA, clock: Clock) -> dict[str, object]:
    row: dict[str, object] = {"site": site.name, "kind": site.kind, "fault": None}
    try:
        served = x509.load_der_x509_certificate(_served(site))
        row["serial"] = serial = f"{served.serial_number:x}"
        _check_issuer(served, ca)
        _check_name(served, site.name)
        with transaction(pool, clock=clock) as tx:
            found = certificate_store.find_by_serial(tx.conn, serial)
            is_listed = not certificate_store.has_unlisted_revocation(tx.conn)
        _check_state(site.kind, found, is_listed=is_listed, now=tx.now)
    except Fault as fault:
        row |= {"fault": fault.reason, "detail": str(fault)}
    return row


def _served(site: Site) -> bytes:
    """Return the site's certificate. Raises Fault. It is not verified by TLS: two of three cannot be valid."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(site.address, timeout=_TIMEOUT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=site.name) as tls,
        ):
            return tls.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise Fault("unreachable", f"{type(error).__name__}: {error}") from error


def _check_issuer(served: x509.Certificate, ca: IssuingCA) -> None:
    try:
        served.verify_directly_issued_by(ca.certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Fault("not-ours", served.issuer.rfc4514_string()) from error


def _check_name(served: x509.Certificate, name: str) -> None:
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if name not in names.get_values_for_type(x509.DNSName):
        raise Fault("other-name", f"the certificate is not for {name}")


def _check_state(kind: str, found: Certificate | None, *, is_listed: bool, now: datetime) -> None:
    if found is None or not found.given_out:
        raise Fault("not-in-the-books")
    if (now > found.not_after) is not (kind == "expired"):
        raise Fault("not-expired" if kind == "expired" else "expired", f"valid until {found.not_after}")
    if (found.revoked_at is not None) is not (kind == "revoked"):
        raise Fault("not-revoked" if kind == "revoked" else "revoked", f"revoked at {found.revoked_at}")
    if kind == "revoked" and not is_listed:
        raise Fault("not-listed", "the CRL with it is not made yet")


def _site(text: str) -> Site:
    kind, _, rest = text.partition("=")
    name, _, port = rest.partition(":")
    if kind not in KINDS or not name:
        raise ValueError(text)
    return Site(kind=kind, name=name, address=(name, int(port or 443)))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "site", type=_site, nargs="+", metavar="KIND=HOST[:PORT]", help=f"KIND is one of {', '.join(KINDS)}"
    )
