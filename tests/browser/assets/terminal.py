"""A person at a terminal: types an answer at each prompt of a command."""

import os
import pty
from collections.abc import Sequence
from pathlib import Path


def run(command: str, folder: Path, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run a shell command on a terminal of its own; return its exit status and all that the terminal showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvp("bash", ["bash", "-e", "-c", command])
    shown, seen, waiting = "", 0, list(answers)
    while part := _read(terminal):
        shown += part.decode(errors="replace")
        while waiting and waiting[0][0] in shown[seen:]:
            prompt, answer = waiting.pop(0)
            seen = shown.index(prompt, seen) + len(prompt)
            os.write(terminal, f"{answer}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""  # Linux answers so when the last program has closed the terminal.
