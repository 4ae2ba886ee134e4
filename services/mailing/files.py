"""Files that are there whole or not at all, that only their owner reads, and that are gone when they are erased."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of mode 0600; after a crash at any moment it is the old one, none, or the whole new one."""
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
    """Take a file out of its folder, for good after a crash too; whether it was there.

    Raises FileNotFoundError if not even the folder is there: then nobody knows what became of the file.
    What a disk keeps of freed blocks is the disk's: the folder belongs on an encrypted volume.
    """
    _unfinished(path).unlink(missing_ok=True)
    was_there = path.exists()
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return was_there


def _unfinished(path: Path) -> Path:
    """Return one name per target: what a crash leaves behind is overwritten by the repetition."""
    return path.with_name(f".{path.name}.unfinished")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
