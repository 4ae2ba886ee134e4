"""Secrets in files, process lists and logs."""

import stat
from collections.abc import Iterator
from pathlib import Path

from deploy.local.leftovers import processes_of
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target

# PostgreSQL's files are another user's when root runs the system; their folder says who may enter.
_ENGINES = ("postgres",)


def files(folder: Path) -> Iterator[Path]:
    """Yield every file and socket of the installation but the engines' own."""
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] not in _ENGINES and not path.is_dir() and path.exists():
            yield path


def is_open_to_others(path: Path, top: Path) -> bool:
    """Return whether others may read the file and enter every folder above it."""
    if not stat.S_IMODE(path.lstat().st_mode) & 0o077:
        return False
    return all(stat.S_IMODE(folder.stat().st_mode) & 0o011 for folder in path.parents if folder.is_relative_to(top))


def test_files_with_secrets_are_readable_by_their_owner_only(system: Target, victim: Journey) -> None:
    top = system.installation.folder
    secrets = [*system.installation.passwords.values(), victim.letters[0].pin, victim.ar.token]
    markers = [b"PRIVATE KEY", b"%PDF", b"SQLite format 3", *(secret.encode() for secret in secrets)]
    seen = 0
    for path in files(top):
        seen += 1
        if not is_open_to_others(path, top):
            continue
        assert path.is_file(), f"{path} is a socket that others may use"
        content = path.read_bytes()
        assert not [marker for marker in markers if marker in content], f"{path} is open to others"
        assert path.suffix != ".log", f"{path} is open to others"
    assert seen > 50
    assert (stat.S_IMODE(system.installation.sockets.stat().st_mode) & 0o077) == 0
    assert (stat.S_IMODE(system.installation.cluster.data.stat().st_mode) & 0o077) == 0


def test_secrets_are_in_no_process_list_and_no_log(system: Target, victim: Journey) -> None:
    names = [*system.installation.passwords.values(), victim.ar.token, victim.letters[0].pin]
    signatures = [name.rsplit(".")[-1] for name in names]
    commands = [" ".join(process.cmdline()) for process in processes_of(system.installation.folder)]
    assert len(commands) > 20
    logs = [file.read_text(errors="replace") for file in system.installation.logs.iterdir()]
    for text in (*commands, *logs):
        assert not [secret for secret in signatures if secret in text]
        assert "PRIVATE KEY" not in text


def test_no_log_has_a_traceback(system: Target, victim: Journey) -> None:
    assert victim.id
    for file in system.installation.logs.glob("*-web.log"):
        assert "Traceback" not in file.read_text(errors="replace"), file.name
