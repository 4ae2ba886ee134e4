"""Processes of this installation: those that an earlier run left behind, and the memory of all."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from deploy.local.stack import STATE_VARIABLE


def processes_of(folder: Path) -> Iterator[psutil.Process]:
    """Yield every process that this installation's supervisor started, known by a variable in its environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(STATE_VARIABLE) == str(folder):
                yield process


def end_leftovers(folder: Path, say: Callable[[str], None]) -> int:
    """End the processes that a killed run left behind. Returns their number."""
    found = list(processes_of(folder))
    if not found:
        return 0
    say(f"Ending {len(found)} processes that an earlier run left behind")
    # The supervisor first, else it would restart the others.
    found.sort(key=lambda process: "supervisord" not in " ".join(_command(process)))
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=10)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=10)
    return len(found)


def memory_of(folder: Path) -> dict[str, int]:
    """Return the proportional set size in bytes by process: a shared page is counted once in all."""
    sizes: dict[str, int] = {}
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            name = name_of(process)
            sizes[name] = sizes.get(name, 0) + process.memory_full_info().pss
    return sizes


def owner_of(port: int) -> str | None:
    """Return the owner of a port, if it can be determined."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
    return None


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def name_of(process: psutil.Process) -> str:
    """Return `identity web` for `python -m services.identity.main web`, and the program's name for others."""
    command = _command(process)
    for position, part in enumerate(command):
        if part == "-m" and position + 1 < len(command):
            module = command[position + 1]
            if module.startswith("services.") and module.endswith(".main"):
                return f"{module.split('.')[1]} {command[position + 2]}"
            return module.rpartition(".")[2] if module != "gunicorn" else "payment sandbox"
    program = Path(command[0].split(":")[0]).name if command else "?"
    return "kafka" if program == "java" else program
