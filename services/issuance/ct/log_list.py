"""Log list: the certificate transparency logs that browsers know, in Google's JSON schema, version 3."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_LOGS: Final = 1000
USABLE_STATES: Final = ("usable", "qualified")
_MIN_RSA_BITS: Final = 2048


class LogListRefused(ValueError):
    """The file is no log list that can be used; the message says why."""


class Protocol(StrEnum):
    """Protocols of logs: that of RFC 6962, and static-ct-api, which publishes the tree as tiles."""

    RFC_6962 = "rfc6962"
    STATIC = "static-ct"


@dataclass(frozen=True, kw_only=True)
class Log:
    """A log. `url` takes submissions; a static log is read at `monitoring_url`, the others at `url`.

    `states` has the current state with its beginning. The log takes certificates that end within [`begins`, `ends`).
    `mmd_seconds` is the time within which an entry must be in the tree.
    """

    log_id: bytes
    key: bytes
    description: str
    operator: str
    protocol: Protocol
    url: str
    monitoring_url: str
    mmd_seconds: int
    states: Mapping[str, datetime]
    begins: datetime | None = None
    ends: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        """Return whether browsers accept its new SCTs, in their present version at least."""
        return any(self.states[state] <= now for state in USABLE_STATES if state in self.states)

    def takes(self, not_after: datetime) -> bool:
        """Return whether the log takes certificates that end then."""
        return (self.begins is None or self.begins <= not_after) and (self.ends is None or not_after < self.ends)


@dataclass(frozen=True, kw_only=True)
class LogList:
    """The logs, and when the list was made."""

    made_at: datetime
    logs: tuple[Log, ...]


def load(path: Path, *, plain_http: bool = False) -> LogList:
    """Read the file. `plain_http` admits logs without TLS, for development. Raises LogListRefused."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LogListRefused(f"{path}: {error.strerror}") from error
    return parse(content, plain_http=plain_http)


def parse(content: bytes, *, plain_http: bool = False) -> LogList:
    """Return the logs of a list. Raises LogListRefused."""
    if len(content) > MAX_BYTES:
        raise LogListRefused(f"a log list of more than {MAX_BYTES} bytes")
    try:
        document = json.loads(content)
        logs = tuple(_logs(document, plain_http))
        made_at = _moment(document["log_list_timestamp"])
    except LogListRefused:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise LogListRefused(f"no log list of version 3: {type(error).__name__}: {error}") from error
    if len({log.log_id for log in logs}) != len(logs):
        raise LogListRefused("a log is listed twice")
    return LogList(made_at=made_at, logs=logs)


def _logs(document: Any, plain_http: bool) -> Iterator[Log]:
    count = 0
    for operator in document["operators"]:
        for kind, protocol in (("logs", Protocol.RFC_6962), ("tiled_logs", Protocol.STATIC)):
            for entry in operator.get(kind, ()):
                count += 1
                if count > MAX_LOGS:
                    raise LogListRefused(f"more than {MAX_LOGS} logs")
                yield _log(entry, str(operator["name"]), protocol, plain_http)


def _log(entry: Any, operator: str, protocol: Protocol, plain_http: bool) -> Log:
    key = _bytes(entry["key"])
    log_id = _bytes(entry["log_id"])
    description = str(entry.get("description", ""))
    if sha256(key).digest() != log_id:
        raise LogListRefused(f"{description}: the log's id is not the hash of its key")
    _check_key(key, description)
    tiled = protocol is Protocol.STATIC
    interval = entry.get("temporal_interval") or {}
    return Log(
        log_id=log_id,
        key=key,
        description=description,
        operator=operator,
        protocol=protocol,
        url=_url(entry["submission_url" if tiled else "url"], plain_http),
        monitoring_url=_url(entry["monitoring_url" if tiled else "url"], plain_http),
        mmd_seconds=int(entry["mmd"]),
        states={str(name): _moment(state["timestamp"]) for name, state in entry.get("state", {}).items()},
        begins=_moment(interval["start_inclusive"]) if interval else None,
        ends=_moment(interval["end_exclusive"]) if interval else None,
    )


def _check_key(key: bytes, description: str) -> None:
    """Check the kind of key: RFC 6962, section 2.1.4, has P-256 and RSA of at least 2048 bits."""
    try:
        public = load_der_public_key(key)
    except Exception as error:  # the library's own errors differ by kind of key
        raise LogListRefused(f"{description}: an unreadable key") from error
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _MIN_RSA_BITS:
        return
    raise LogListRefused(f"{description}: neither P-256 nor RSA of {_MIN_RSA_BITS} bits")


def _url(url: Any, plain_http: bool) -> str:
    parts = urlsplit(str(url))
    schemes = ("https", "http") if plain_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise LogListRefused(f"{url}: not an https address")
    return str(url).rstrip("/") + "/"


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LogListRefused("a key or an id is not in base64") from error


def _moment(text: Any) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
