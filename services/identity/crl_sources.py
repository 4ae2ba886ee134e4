"""Sources of CRLs: directories, and http addresses that may be slow, huge or malicious."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import requests

from shared.errors import Unavailable
from shared.pki.crls import MAX_BYTES

SUFFIXES: Final = frozenset({".crl", ".der", ".pem"})
CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 10.0
TOTAL_TIMEOUT_SECONDS: Final = 30.0
# The total time is checked between two reads.
MAX_CALL_TIME: Final = timedelta(
    seconds=CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS + TOTAL_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS
)
_CHUNK: Final = 65_536


class SourceUnavailable(Unavailable):
    """The source did not deliver its CRLs."""

    reason = "crl-source-unavailable"


def read(source: str) -> Iterator[bytes]:
    """Yield every CRL file of a source, unparsed. Raises SourceUnavailable."""
    if source.startswith(("http://", "https://")):
        yield _download(source)
        return
    try:
        files = [file for file in sorted(Path(source).iterdir()) if file.suffix in SUFFIXES]
        for file in files:
            yield _head(file)
    except OSError as error:
        raise SourceUnavailable(f"{type(error).__name__}: {error.strerror}") from error


def _head(file: Path) -> bytes:
    """Return the file, truncated to one byte more than allowed, which is then refused."""
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _download(url: str) -> bytes:
    """Download a CRL over plain http (RFC 5280, 8): its signature protects it."""
    until = time.monotonic() + TOTAL_TIMEOUT_SECONDS
    try:
        with requests.get(
            url, stream=True, timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS), allow_redirects=False
        ) as response:
            if response.status_code != requests.codes.ok:
                raise SourceUnavailable(f"status {response.status_code}")
            return _body(response, until)
    except requests.RequestException as error:
        raise SourceUnavailable(type(error).__name__) from error


def _body(response: requests.Response, until: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            raise SourceUnavailable("the answer is too large")
        if time.monotonic() > until:
            raise SourceUnavailable("the answer takes too long")
    return bytes(body)
