"""The logs of this machine: their names, operators and keys, and the log list that issuance reads."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local import authority as ca
from deploy.local.ct.log import Database, Interval, LocalLog
from deploy.local.passwords import write_private
from shared.tx import Clock, utc_now

LOG_LIST: Final = "log-list.json"
_BEFORE: Final = timedelta(days=365)
_AFTER: Final = timedelta(days=3650)
_MMD_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A log before it has a key."""

    name: str
    operator: str
    static: bool = False


# Any one of them may be unavailable: three SCTs of two operators remain.
LOGS: Final = (
    Planned(name="kowloon-1", operator="Kowloon Logs (Test)"),
    Planned(name="kowloon-2", operator="Kowloon Logs (Test)", static=True),
    Planned(name="lantau-1", operator="Lantau Logs (Test)"),
    Planned(name="lantau-2", operator="Lantau Logs (Test)"),
)


def create(folder: Path, url: str, *, now: datetime) -> None:
    """Write what is missing: keys and the beginning of the intervals. The list is written each time, as made now."""
    folder.mkdir(parents=True, exist_ok=True)
    for planned in LOGS:
        if not _key_file(folder, planned).exists():
            write_private(_key_file(folder, planned), ca.key_pem(ec.generate_private_key(ec.SECP256R1())))
    born, made_at = folder / "began", now.astimezone(UTC).replace(microsecond=0).isoformat()
    if not born.exists():
        born.write_text(made_at)
    (folder / LOG_LIST).write_text(json.dumps(_log_list(folder, url, made_at), indent=1) + "\n")


def open_logs(
    folder: Path, roots: Sequence[x509.Certificate], database_file: Path | None = None, *, clock: Clock = utc_now
) -> tuple[Database, dict[str, LocalLog]]:
    """Return the database, which the caller closes, and the logs of a folder by name."""
    database = Database(str(database_file or folder / "logs.sqlite"))
    logs = {
        planned.name: LocalLog(
            planned.name,
            operator=planned.operator,
            static=planned.static,
            key=_key(folder, planned),
            interval=_interval(folder),
            roots=roots,
            database=database,
            clock=clock,
        )
        for planned in LOGS
    }
    return database, logs


def _log_list(folder: Path, url: str, made_at: str) -> Mapping[str, Any]:
    """Return the list in the schema of Google's, version 3."""
    began = (folder / "began").read_text()
    operators: dict[str, dict[str, Any]] = {
        planned.operator: {"name": planned.operator, "logs": [], "tiled_logs": []} for planned in LOGS
    }
    for planned in LOGS:
        public = _key(folder, planned).public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        interval, address = _interval(folder), f"{url}/{planned.name}/"
        places = {"submission_url": address, "monitoring_url": address} if planned.static else {"url": address}
        entry = {
            "description": planned.name,
            "log_id": base64.b64encode(sha256(spki).digest()).decode(),
            "key": base64.b64encode(spki).decode(),
            **places,
            "mmd": _MMD_SECONDS,
            "state": {"usable": {"timestamp": began}},
            "temporal_interval": {
                "start_inclusive": interval.begins.isoformat(),
                "end_exclusive": interval.ends.isoformat(),
            },
        }
        operators[planned.operator]["tiled_logs" if planned.static else "logs"].append(entry)
    return {"version": "1", "log_list_timestamp": made_at, "operators": list(operators.values())}


def key_files(folder: Path) -> list[Path]:
    """Return the files without which the logs would be others: their keys, and when they began."""
    return [*(_key_file(folder, planned) for planned in LOGS), folder / "began"]


def _interval(folder: Path) -> Interval:
    began = datetime.fromisoformat((folder / "began").read_text())
    return Interval(begins=began - _BEFORE, ends=began + _AFTER)


def _key(folder: Path, planned: Planned) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(_key_file(folder, planned).read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _key_file(folder: Path, planned: Planned) -> Path:
    return folder / f"{planned.name}.key"
