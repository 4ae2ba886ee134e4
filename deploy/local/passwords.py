"""Random passwords of an installation, kept in a file that only its owner can read."""

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    partial.replace(path)


def load_passwords(path: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Return the installation's passwords; a name that is requested for the first time gets a new one."""
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {name: secrets.token_urlsafe(24) for name in names if name not in known}
    if missing:
        write_private(path, json.dumps(known | missing, indent=1, sort_keys=True) + "\n")
    return known | missing
