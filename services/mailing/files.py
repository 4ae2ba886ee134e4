"""Files that are there whole or not at all, and that only their owner reads."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of mode 0600; after a crash at any moment it is the old one, none, or the whole new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One name per target: what a crash leaves behind is overwritten by the repetition.
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    for folder in (path.parent, path.parent.parent):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
