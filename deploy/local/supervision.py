"""supervisord: its configuration, generated from the process table, and its control over a Unix socket."""

import http.client
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import SupervisorTransport

from deploy.local import stack
from deploy.local.installation import ROOT, Installation
from deploy.local.passwords import write_private
from deploy.local.processes import Group, Process
from deploy.local.waiting import TookTooLong, wait_until

_PRIORITIES: Final = {Group.ENGINES: 10, Group.SERVICES: 20, Group.EDGE: 30}
_LOG_BYTES: Final = "5MB"


def configuration(installation: Installation, processes: Sequence[Process]) -> str:
    """Return supervisord's configuration. It contains passwords: write it for its owner only."""
    folder, socket = installation.folder, _socket(installation)
    sections = [
        f"[unix_http_server]\nfile={_literal(str(socket))}\nchmod=0600\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
        f"[supervisord]\nnodaemon=true\nsilent=true\nlogfile={_literal(str(installation.logs / 'supervisord.log'))}\n"
        f"logfile_maxbytes={_LOG_BYTES}\nlogfile_backups=1\npidfile={_literal(str(folder / 'supervisord.pid'))}\n"
        f"directory={_literal(str(ROOT))}\nminfds=1024\nminprocs=200\n",
        *(_program(process, installation.logs) for process in processes),
    ]
    for group, priority in _PRIORITIES.items():
        names = ",".join(process.name for process in processes if process.group is group)
        if names:
            sections.append(f"[group:{group}]\nprograms={names}\npriority={priority}\n")
    return "\n".join(sections)


def _program(process: Process, logs: Path) -> str:
    environment = ",".join(f'{name}="{_literal(value)}"' for name, value in sorted(process.environment.items()))
    command = " ".join(f'"{_literal(part)}"' if " " in part else _literal(part) for part in process.command)
    lines = [
        f"[program:{process.name}]",
        f"command={command}",
        f"environment={environment}",
        f"directory={_literal(str(ROOT))}",
        # run.py starts the services once their databases and topics exist.
        f"autostart={'false' if process.group is Group.SERVICES else 'true'}",
        "autorestart=true",
        "startsecs=2",
        # No limit: what a process waits for may come back at any time.
        "startretries=1000000",
        f"stopsignal={process.stop_signal}",
        f"stopwaitsecs={process.stop_seconds}",
        "stopasgroup=false",
        "killasgroup=true",
        f"stdout_logfile={_literal(str(logs / process.name))}.log",
        f"stdout_logfile_maxbytes={_LOG_BYTES}",
        "stdout_logfile_backups=1",
        "redirect_stderr=true",
    ]
    return "\n".join(lines) + "\n"


def _literal(value: str) -> str:
    """Return a value escaped for supervisord's format."""
    if '"' in value or "\n" in value or "\\" in value:
        raise ValueError("supervisord cannot be given a quote, a backslash or a line break")
    return value.replace("%", "%%")


def _socket(installation: Installation) -> Path:
    return installation.sockets / "supervisor.sock"


class Supervisor:
    """A running supervisord."""

    def __init__(self, installation: Installation, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._words = installation.logs / "supervisord.out"
        self._address = f"unix://{_socket(installation)}"

    @property
    def _rpc(self) -> Any:
        """A new connection for each call: one that failed stays unusable."""
        transport = SupervisorTransport(None, None, self._address)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    @property
    def alive(self) -> bool:
        """Whether supervisord runs."""
        return self._process.poll() is None

    def start(self, processes: Iterable[Process]) -> None:
        """Start processes that do not start automatically."""
        for process in processes:
            self._rpc.startProcess(f"{process.group}:{process.name}", False)

    def stop_some(self, processes: Iterable[Process]) -> None:
        """Stop these processes and wait for each."""
        for process in processes:
            self._rpc.stopProcess(f"{process.group}:{process.name}")

    def states(self) -> dict[str, tuple[str, int]]:
        """Return state and pid of each process, by name."""
        return {each["name"]: (each["statename"], each["pid"]) for each in self._rpc.getAllProcessInfo()}

    def stop(self) -> None:
        """Stop everything, edge first and engines last, and wait for it."""
        if self.alive:
            self._process.terminate()
        self._process.wait(timeout=90)

    def wait_until_it_answers(self) -> None:
        """Wait until the socket accepts requests."""
        wait_until(lambda: not self.alive or self._answers(), limit=20, what="supervisord answers")
        if not self.alive:
            raise TookTooLong(f"supervisord ended at once: see {self._words}")

    def _answers(self) -> bool:
        try:
            return bool(self._rpc.getState()["statename"])
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False


def launch(installation: Installation, processes: Iterable[Process]) -> Supervisor:
    """Start supervisord with this table; engines and edge start at once."""
    installation.logs.mkdir(parents=True, exist_ok=True)
    file = installation.folder / "supervisord.conf"
    write_private(file, configuration(installation, tuple(processes)))
    # supervisord ends with this process, and Ctrl-C reaches this process only, which then stops everything in order.
    command = ("setpriv", "--pdeathsig", "TERM", sys.executable, "-W", "ignore", "-m", "supervisor.supervisord")
    with (installation.logs / "supervisord.out").open("ab") as out:
        process = subprocess.Popen(
            (*command, "-c", str(file)),
            env=stack.base_environment(installation),
            stdout=out,
            stderr=out,
            start_new_session=True,
            # All files of supervisord and its processes, including logs and payments, are for their owner only.
            umask=0o077,
        )
    supervisor = Supervisor(installation, process)
    try:
        supervisor.wait_until_it_answers()
    except TookTooLong:
        supervisor.stop()
        raise
    return supervisor
