"""Adoption: takes a certificate of our key that the database lacks back into the books, so that it can be revoked.

For what a restore or a fault has lost: from a log's entry, a subscriber's server, or a report.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from services.issuance import certificate_store, log_watch_store, store, stray_certificates, stray_store
from services.issuance.ca.authority import IssuingCA
from services.issuance.ca.crl import RevocationReason
from services.issuance.ct import tbs
from services.issuance.ct.encoding import Malformed
from services.issuance.ct.entries import decode_json
from services.issuance.domain import Certificate, StrayCertificate
from shared import audit
from shared.db import Conn
from shared.errors import Refused
from shared.pki import armour
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.tx import Tx

_MAX_BYTES: Final = 1024 * 1024
_STDIN: Final = "-"


class NothingToAdopt(Refused):
    """The file has no certificate."""

    reason = "nothing-to-adopt"


class NotOfThisCA(Refused):
    """Our key has not signed it."""

    reason = "not-of-this-ca"


class SerialTaken(Refused):
    """The database has another certificate with this serial number, not revoked: our key has signed two."""

    reason = "serial-taken"


def command(read_ca: Callable[[], IssuingCA]) -> OperatorCommand:
    """Return the command. `read_ca` takes the CA out of the settings."""
    return OperatorCommand(
        help="take certificates, precertificates or a log's entry of our key back into the books",
        run=in_transaction(lambda tx, options: _adopt_file(tx, options, read_ca)),
        add_arguments=_arguments,
    )


def adopt(tx: Tx, der: bytes, ca: IssuingCA, actor: str) -> bool:
    """Store the certificate or precertificate as a stray. Returns False if the database has it.

    With a blocked key it is revoked at once. If another certificate has its serial number and is revoked, CRLs have the
    number already: only the finding of `watch-ct` ends. Raises NothingToAdopt, NotOfThisCA or SerialTaken.
    """
    if not is_ours(der, ca):
        raise NotOfThisCA("it is not signed by this CA's key")
    stray = stray_certificates.stray_of(tx, der, origin="adopted")
    store.lock_key(tx.conn, stray.spki_sha256)
    known = is_known(tx.conn, der)
    if not known:
        details = _keep(tx, stray)
        audit.record(tx, actor=actor, action="certificate-adopted", subject=stray.serial, details=details)
    for found in log_watch_store.find_unknown(tx.conn, stray.serial):
        if found == der or is_known(tx.conn, found):
            log_watch_store.save_known(tx.conn, found, tx.now)
    return not known


def _keep(tx: Tx, stray: StrayCertificate) -> dict[str, str | None]:
    """Store the stray, unless its serial number is revoked for another one. Returns what is audited."""
    details = {"certificate_sha256": stray.sha256.hex()}
    if (other := _find_other(tx.conn, stray.serial)) is not None and other.revoked_at is not None:
        return details | {"reason": other.revocation_reason, "same_serial_as": other.sha256.hex()}
    if other is not None or certificate_store.is_serial_used(tx.conn, stray.serial):
        raise SerialTaken(f"another certificate has the serial number {stray.serial}: revoke that, and report this")
    if store.is_blocked(tx.conn, stray.spki_sha256):
        stray = replace(stray, revoked_at=tx.now, revocation_reason=RevocationReason.KEY_COMPROMISE.value)
    stray_store.add_stray(tx.conn, stray)
    return details | {"reason": stray.revocation_reason}


def _find_other(conn: Conn, serial: str) -> Certificate | StrayCertificate | None:
    return certificate_store.find_by_serial(conn, serial) or stray_store.lock_stray(conn, serial)


def is_ours(der: bytes, ca: IssuingCA) -> bool:
    """Return whether our key has signed it. Raises NothingToAdopt if it is no certificate."""
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(ca.certificate)
    except InvalidSignature:
        return False
    except (ValueError, TypeError) as error:
        if "issuer" in str(error):
            return False
        raise NothingToAdopt(str(error)) from error
    return True


def is_known(conn: Conn, der: bytes) -> bool:
    """Return whether the database has this certificate or precertificate, and it can be revoked.

    A certificate with the serial number of a stray is known only if it is the same or its precertificate's.
    """
    parsed = x509.load_der_x509_certificate(der)
    serial, signed = f"{parsed.serial_number:x}", parsed.tbs_certificate_bytes
    stray = stray_store.lock_stray(conn, serial)
    if stray is not None and _are_one(x509.load_der_x509_certificate(stray.der).tbs_certificate_bytes, signed):
        return True
    return certificate_store.has_signed(conn, serial, signed)


def _are_one(kept: bytes, found: bytes) -> bool:
    """Return whether these to-be-signed bytes are the same, or precertificate and certificate in either order."""
    return kept == found or _are_pair(kept, found) or _are_pair(found, kept)


def _are_pair(precertificate: bytes, certificate: bytes) -> bool:
    try:
        tbs.check_pair(precertificate, certificate)
    except (tbs.NotSuchTBS, tbs.PairDiffers):
        return False
    return True


def _adopt_file(tx: Tx, options: argparse.Namespace, read_ca: Callable[[], IssuingCA]) -> Report:
    found, ca, rows = _certificates(_read(options.file)), read_ca(), []
    for der in found:
        serial = f"{x509.load_der_x509_certificate(der).serial_number:x}" if is_ours(der, ca) else None
        adopted = adopt(tx, der, ca, options.actor)
        rows.append({"serial": serial, "was": "adopted" if adopted else "known"})
    return Report(values=rows)


def _certificates(content: bytes) -> Sequence[bytes]:
    """Return what the file has: an entry of `get-entries` in JSON, or certificates in PEM or DER."""
    if content.lstrip()[:1] == b"{":
        try:
            return [decode_json(json.loads(content)).der]
        except (ValueError, RecursionError, Malformed) as error:
            raise NothingToAdopt("no entry of a log") from error
    found = [block.der for block in armour.blocks(content) if block.der is not None and not block.is_private_key]
    if not found:
        raise NothingToAdopt("no certificate")
    return found


def _read(path: Path) -> bytes:
    if str(path) == _STDIN:
        content = sys.stdin.buffer.read(_MAX_BYTES + 1)
    else:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise NothingToAdopt(f"more than {_MAX_BYTES} bytes")
    return content


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="PEM, DER, or an entry of get-entries in JSON; - reads standard input")
