"""Operators' command `verify-audit`: verify the seals over the audit log, and print the faults."""

import argparse
import re
from pathlib import Path

from shared.db import Pool
from shared.runtime.operator_commands import Report
from shared.security import audit_seals
from shared.security.tokens import KeySet, SigningKey
from shared.tx import utc_now


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--anchor",
        action="append",
        default=[],
        type=_head,
        metavar="HEAD",
        help="head from the log event audit.sealed, preferably the newest, that must be in the log; repeatable",
    )
    parser.add_argument(
        "--public-keys",
        action="append",
        default=[],
        type=Path,
        metavar="JWKS",
        help="file with the public halves of earlier audit keys, such as SERVICE-audit-jwks.json; repeatable",
    )


def run(pool: Pool, service: str, key: SigningKey, options: argparse.Namespace) -> Report:
    """Report each finding. The report is a failure if there is one."""
    earlier = [KeySet.load(file).keys for file in options.public_keys]
    keys = KeySet(
        keys={kid: each for known in earlier for kid, each in known.items()} | {key.kid: key.key.public_key()}
    )
    with pool.connection() as conn:
        findings = [*audit_seals.check(conn, keys, service=service, now=utc_now(), anchors=options.anchor)]
        seal_id, head = audit_seals.last_seal(conn)
    values = {
        "findings": [{"seal": each.seal_id, "what": each.what} for each in findings],
        "last": seal_id,
        "head": head,
    }
    if findings:
        text = "\n".join(f"seal {each.seal_id}: {each.what}" for each in findings)
        return Report(values=values, text=text, failed=True)
    text = f"every seal fits its rows; the last is {seal_id} with the head {head}"
    if not options.anchor:
        text += "\nwithout --anchor nobody knows whether later ones were cut off"
    return Report(values=values, text=text)


def _head(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("a head is 64 hexadecimal digits")
    return text
