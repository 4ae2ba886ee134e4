"""Export of certificates as CSV, with a last line that detects truncation and changes."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from typing import Final

from backoffice.kit.state import Certificate
from shared.validation.spreadsheets import text_cell

COLUMNS: Final = (
    *("serial", "state", "srn", "server_names", "not_before", "not_after", "sha256", "issued_at", "accepted_at"),
    *("revoked_at", "revocation_reason", "renewal_id", "item_id", "position"),
)
_END: Final = re.compile(r"# end: (\d+) certificates, feed read up to (\d+), sha256 ([0-9a-f]{64})")


def as_csv(certificates: Iterable[Certificate], *, up_to: int) -> str:
    """Return the complete file (RFC 4180, UTF-8) with its last line."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    count = 0
    for certificate in certificates:
        writer.writerow([_cell(certificate, column) for column in COLUMNS])
        count += 1
    body = out.getvalue()
    return f"{body}# end: {count} certificates, feed read up to {up_to}, sha256 {_sha256(body)}\n"


def _cell(certificate: Certificate, column: str) -> str:
    value = " ".join(certificate.server_names) if column == "server_names" else getattr(certificate, column)
    return text_cell("" if value is None else str(value))


def check(text: str) -> Iterator[str]:
    """Yield the faults of an export; none if it is as it was written."""
    body, _, last = text.rstrip("\n").rpartition("\n")
    end = _END.fullmatch(last)
    if end is None:
        yield "truncated: the last line, which says how many there are, is missing"
        return
    body = body + "\n"
    try:
        rows = [*csv.reader(io.StringIO(body, newline=""))]
    except csv.Error as error:
        yield f"changed: {error}"
        return
    if rows[:1] != [[*COLUMNS]]:
        yield "the first line does not name the columns"
    if len(rows) - 1 != int(end[1]):
        yield f"truncated: {len(rows) - 1} certificates of {end[1]}"
    if _sha256(body) != end[3]:
        yield "changed: the content is not what the last line was written for"


def _sha256(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
