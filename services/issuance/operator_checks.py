"""Checks that an operator runs on files: lint of certificates and CRLs, and a CSR as if it were submitted."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.issuance.ca import crl_lint, lint
from services.issuance.ca.lint import Finding
from services.issuance.csr import csr
from services.issuance.csr.csr import CSR, KeyRefused, checked_key
from services.issuance.ct import certificate_check
from services.issuance.ct.log_list import LogList
from services.issuance.key_policy import KeyPolicy, key_objection
from services.issuance.refusals import KeyNotAllowed
from shared.errors import Refused
from shared.pki import armour
from shared.pki.names import server_name
from shared.runtime.operator_commands import OperatorCommand, Report, in_transaction
from shared.tx import Tx
from shared.validation import texts

_MAX_BYTES: Final = 10 * 1024 * 1024
# No subscriber has this id, so a key that any of them has used is reported.
_NOBODY: Final = ""


class NothingToLint(Refused):
    """The file has neither a certificate nor a CRL."""

    reason = "nothing-to-lint"


def commands(policy: Callable[[], KeyPolicy], log_list: Callable[[], LogList]) -> dict[str, OperatorCommand]:
    """Return both commands. The log list, for the first one, and the key policy, for the second, are read when run."""
    return {
        "lint": OperatorCommand(
            help="lint certificates and CRLs (PEM or DER); exit status 1 if there is a finding",
            run=lambda _, options: lint_files(options.file, log_list),
            add_arguments=_lint_arguments,
            while_recovering=True,
        ),
        "check-csr": OperatorCommand(
            help="check a CSR (PEM or DER) as if it were submitted; exit status 1 if it would be refused",
            run=in_transaction(partial(_check_csr, policy=policy)),
            add_arguments=_check_arguments,
            while_recovering=True,
        ),
    }


def lint_files(paths: Sequence[Path], log_list: Callable[[], LogList]) -> Report:
    """Return the findings on every certificate and CRL of these files. Raises NothingToLint or OSError."""
    contents = [(path, _contents(path)) for path in paths]
    known = log_list()
    rows = [
        {"file": str(path), "number": number, "severity": each.severity, "code": each.code, "message": each.message}
        for path, ders in contents
        for number, der in enumerate(ders, 1)
        for each in findings_of(der, known)
    ]
    return Report(values=rows, failed=bool(rows))


def _contents(path: Path) -> list[bytes]:
    found = [block.der for block in armour.blocks(_read(path)) if block.der is not None and not block.is_private_key]
    if not found:
        raise NothingToLint(f"{path}: neither a certificate nor a CRL")
    return found


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise NothingToLint(f"{path}: more than {_MAX_BYTES} bytes")
    return content


def findings_of(der: bytes, log_list: LogList) -> Sequence[Finding]:
    """Return the faults of a certificate with its key and SCTs, or of a CRL, as they are published."""
    if crl_lint.is_crl(der):
        return crl_lint.published_findings(der)
    return (*lint.published_findings(der), *_key_findings(der), *_sct_findings(der, log_list))


def _sct_findings(der: bytes, log_list: LogList) -> Iterator[Finding]:
    try:
        for fault in certificate_check.faults(der, log_list):
            yield Finding("ERROR", f"issuance.{fault}", "")
    except ValueError:
        return  # the linter has named the fault


def _key_findings(der: bytes) -> Iterator[Finding]:
    try:
        key = x509.load_der_x509_certificate(der).public_key()
        checked_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except KeyRefused as refused:
        yield Finding("ERROR", f"issuance.{refused.reason.replace('-', '_')}", str(refused))
    except (ValueError, UnsupportedAlgorithm):
        return  # the linter has named the fault


def _check_csr(tx: Tx, options: argparse.Namespace, *, policy: Callable[[], KeyPolicy]) -> Report:
    content = _pem(_read(options.file))
    try:
        request = csr.read(content)
        if options.name:
            csr.check_names(request, [server_name(name) for name in options.name])
        if objection := key_objection(tx.conn, request, None, _NOBODY, policy()):
            raise KeyNotAllowed(objection)
    except Refused as refused:
        why = {"refused": refused.reason, **getattr(refused, "extensions", {}), "detail": str(refused)}
        return Report(values=why, failed=True)
    return Report(values=_shown(request))


def _pem(content: bytes) -> str:
    is_der = armour.is_der(content)
    return armour.armoured(content, "CERTIFICATE REQUEST") if is_der else texts.decode(content, "replace")


def _shown(request: CSR) -> dict[str, object]:
    return {
        "key": request.key_kind,
        "signature": request.signature_algorithm,
        "subject": request.subject,
        "common_names": ", ".join(request.common_names) or None,
        "dns_names": ", ".join(request.dns_names) or None,
        "spki_sha256": request.spki_sha256.hex(),
    }


def _lint_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="+")


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", action="append", default=[], help="server name that was ordered; may be repeated")
