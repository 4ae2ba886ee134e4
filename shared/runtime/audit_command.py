"""Operators' command `verify-audit`: verify the seals over the audit log, and print the faults."""

import argparse
import re
import sys
from pathlib import Path

from shared.db import Pool
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


def run(pool: Pool, service: str, key: SigningKey, options: argparse.Namespace) -> None:
    """Print each finding. Exit status 1 if there is one."""
    earlier = [KeySet.load(file).keys for file in options.public_keys]
    keys = KeySet(
        keys={kid: each for known in earlier for kid, each in known.items()} | {key.kid: key.key.public_key()}
    )
    found = 0
    with pool.connection() as conn:
        for finding in audit_seals.check(conn, keys, service=service, now=utc_now(), anchors=options.anchor):
            print(f"seal {finding.seal_id}: {finding.what}")
            found += 1
        seal_id, head = audit_seals.last_seal(conn)
    if found:
        sys.exit(1)
    print(f"every seal fits its rows; the last is {seal_id} with the head {head}")
    if not options.anchor:
        print("without --anchor nobody knows whether later ones were cut off")


def _head(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("a head is 64 hexadecimal digits")
    return text
