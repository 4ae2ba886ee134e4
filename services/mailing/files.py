"""Files that are written atomically, readable by their owner only, and durably erased."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of mode 0600. After a crash at any moment it is the old file, none, or the complete new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = _unfinished(path)
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    for folder in (path.parent, path.parent.parent):
        _sync_folder(folder)


def erase(path: Path) -> bool:
    """Remove a file durably, also across a crash. Returns whether it existed.

    Raises FileNotFoundError if its folder is missing: then it is unknown what became of the file. Freed blocks on the
    disk keep their content: the folder belongs on an encrypted volume.
    """
    _unfinished(path).unlink(missing_ok=True)
    was_there = path.exists()
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return was_there


def _unfinished(path: Path) -> Path:
    """Return the temporary name, one for each target: a repetition overwrites what a crash leaves behind."""
    return path.with_name(f".{path.name}.unfinished")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
