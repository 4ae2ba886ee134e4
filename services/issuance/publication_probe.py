"""Probe of the addresses in certificates: fetches each by plain HTTP, as relying parties do, and checks the answer."""

import argparse
import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from services.issuance import certificate_store
from services.issuance.ca import crl
from services.issuance.ca.authority import IssuingCA
from services.issuance.publication import CRL_AGE
from shared.db import Pool
from shared.pki import crls
from shared.pki.crls import CRLRefused, StoredCRL
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.tx import transaction, utc_now
from shared.web.https_client import TimedResponse

CRL_TYPE: Final = "application/pkix-crl"
CERTIFICATE_TYPE: Final = "application/pkix-cert"
# To connect; and again for the whole reply, however its bytes come.
_TIMEOUT_SECONDS: Final = 30.0
_MAX_BYTES: Final = crls.MAX_BYTES
# Time between the moment of a CRL and its publication: signing, and the turn of the task.
_MARGIN: Final = timedelta(minutes=15)
# The CA above signs its CRL by hand: early enough to ask for the next one.
_REPLACE_BEFORE: Final = timedelta(days=7)


class Fault(Exception):
    """An address does not serve what it must. `reason` is one of a closed set, shown with the detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address in certificates and the check of its content, which returns what is worth showing."""

    url: str
    media_type: str
    check: Callable[[bytes], dict[str, object]]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The CA, the addresses and the least CRL number that must be published.

    The addresses are those of the settings, which the next certificate gets, and those in the newest certificate.
    """

    ca: IssuingCA
    crl_url: str
    ca_issuers_url: str
    min_number: int = 0
    newest: x509.Certificate | None = None


def command(read: Callable[[], Expected]) -> OperatorCommand:
    """Return the command. `read` takes CA and addresses out of the settings."""
    return OperatorCommand(
        help="fetch the addresses in certificates as an outsider; exit status 1 if one does not serve what it must",
        run=lambda pool, options: _check(pool, options, read()),
        add_arguments=_arguments,
        while_recovering=True,
    )


def _check(pool: Pool, options: argparse.Namespace, expected: Expected) -> Report:
    with transaction(pool, clock=utc_now) as tx:
        # Caches may hold a CRL for an hour: until then the one before it is right, too.
        number = certificate_store.crl_number_at(tx.conn, tx.now - CRL_AGE - _MARGIN)
        der = certificate_store.newest_certificate(tx.conn)
    newest = None if der is None else x509.load_der_x509_certificate(der)
    found = replace(expected, min_number=number or 0, newest=newest)
    return probe(found, tx.now, connect_to=options.connect_to)


def probe(expected: Expected, now: datetime, *, connect_to: str | None = None) -> Report:
    """Return a row for each address, with `fault` if there is one. `connect_to` is HOST:PORT, instead of the name's."""
    rows = [_probed(address, connect_to) for address in addresses(expected, now)]
    return Report(values=rows, failed=any(row["fault"] for row in rows))


def addresses(expected: Expected, now: datetime) -> Iterator[Address]:
    """Yield the addresses in what we issue, and those of the CA above in our own certificate."""
    ca = expected.ca
    newest = expected.newest
    for url in dict.fromkeys([expected.crl_url, *(_crl_urls(newest) if newest else ())]):
        yield Address(
            url=url,
            media_type=CRL_TYPE,
            check=lambda body: _check_own_crl(_accepted(body, ca.certificate, now), now, expected.min_number),
        )
    for url in dict.fromkeys([expected.ca_issuers_url, *(_issuer_urls(newest) if newest else ())]):
        yield _certificate(url, ca.certificate)
    above = next((each for each in ca.chain if each.subject == ca.certificate.issuer), None)
    if above is None or above == ca.certificate:
        return
    for url in _crl_urls(ca.certificate):
        yield Address(url=url, media_type=CRL_TYPE, check=lambda body: _check_crl_above(body, above, ca, now))
    for url in _issuer_urls(ca.certificate):
        yield _certificate(url, above)


def _certificate(url: str, certificate: x509.Certificate) -> Address:
    def check(body: bytes) -> dict[str, object]:
        if body != certificate.public_bytes(Encoding.DER):
            raise Fault("differs", "not the certificate of the issuer")
        return {}

    return Address(url=url, media_type=CERTIFICATE_TYPE, check=check)


def _check_own_crl(found: StoredCRL, now: datetime, min_number: int) -> dict[str, object]:
    if now - found.this_update > crl.INTERVAL + CRL_AGE + _MARGIN:
        raise Fault("stale", f"made at {found.this_update}")
    if found.number < min_number:
        raise Fault("number-behind", f"{found.number}, and {min_number} was made long ago")
    return _shown(found)


def _check_crl_above(body: bytes, above: x509.Certificate, ca: IssuingCA, now: datetime) -> dict[str, object]:
    found = _accepted(body, above, now)
    if found.next_update - now < _REPLACE_BEFORE:
        raise Fault("ends-soon", f"at {found.next_update}")
    if x509.load_der_x509_crl(body).get_revoked_certificate_by_serial_number(ca.certificate.serial_number):
        raise Fault("ca-revoked", f"{ca.certificate.serial_number:x} is on the CRL")
    return _shown(found)


def _accepted(body: bytes, issuer: x509.Certificate, now: datetime) -> StoredCRL:
    """Return a CRL in DER that the issuer's key has signed and that is current. Raises Fault."""
    try:
        return crls.accept(body, issuer, now)
    except CRLRefused as refused:
        raise Fault(refused.reason) from refused


def _shown(found: StoredCRL) -> dict[str, object]:
    return {"number": found.number, "this_update": found.this_update, "next_update": found.next_update}


def _crl_urls(certificate: x509.Certificate) -> list[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for point in points for name in point.full_name or ()]


def _issuer_urls(certificate: x509.Certificate) -> list[str]:
    try:
        described = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    ca_issuers = AuthorityInformationAccessOID.CA_ISSUERS
    return [str(each.access_location.value) for each in described if each.access_method == ca_issuers]


def _probed(address: Address, connect_to: str | None) -> dict[str, object]:
    try:
        shown = address.check(fetch(address.url, address.media_type, connect_to))
    except Fault as fault:
        return {"url": address.url, "fault": fault.reason, "detail": str(fault)}
    return {"url": address.url, "fault": None, **shown}


def fetch(url: str, media_type: str, connect_to: str | None = None) -> bytes:
    """Return the body at a plain http address. Raises Fault; a redirection is one."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.netloc:
        raise Fault("not-http", "an address in certificates begins with http://")
    try:
        connection = http.client.HTTPConnection(connect_to or parts.netloc, timeout=_TIMEOUT_SECONDS)
        connection.response_class = TimedResponse
        try:
            connection.request("GET", parts.path, headers={"Host": parts.netloc})
            return _body(connection.getresponse(), media_type)
        finally:
            connection.close()
    except TimeoutError as error:
        raise Fault("too-slow") from error
    except (OSError, http.client.HTTPException) as error:
        raise Fault("unreachable", f"{type(error).__name__}: {error}") from error


def _body(answer: http.client.HTTPResponse, media_type: str) -> bytes:
    if answer.status != http.client.OK:
        raise Fault("status", str(answer.status))
    if (given := answer.headers.get_content_type()) != media_type:
        raise Fault("media-type", given)
    body = answer.read(_MAX_BYTES + 1)
    if len(body) > _MAX_BYTES:
        raise Fault("too-large")
    if answer.length:
        raise Fault("unreachable", f"{answer.length} bytes are missing")
    return body


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connect-to", metavar="HOST:PORT", help="connect there instead of to the host of the address")
