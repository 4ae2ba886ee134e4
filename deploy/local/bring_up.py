"""Steps from nothing to a ready system; each skips what an earlier start has done."""

import contextlib
import http.client
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from deploy.gateway import envoy
from deploy.local import back_office, kafka, kafka_jars, perspectives, pki, postgres, samples, stack, staff
from deploy.local.ct import logs as transparency_logs
from deploy.local.installation import ROOT, Installation
from deploy.local.passwords import write_private
from deploy.local.processes import Process
from deploy.local.stack import Outside
from deploy.local.supervision import Supervisor
from deploy.local.waiting import is_taken, wait_until
from deploy.postgres.roles import DESK, SERVICES, migrations_folder, package
from shared.runtime import migrate as migrations

# Seconds between two lines about what is not ready: long after a start usually ends.
_SAY_AGAIN = 20

Say = Callable[[str], None]


class StepFailed(Exception):
    """A step failed; the message names it, and where to read more."""


def prepare(installation: Installation, there: Outside, say: Say) -> None:
    """Write keys, configurations and the engines' files."""
    now = datetime.now(UTC).replace(microsecond=0)
    say("Keys and certificates")
    pki.create(installation.pki, installation.passwords, now=now)
    shutil.rmtree(installation.sockets, ignore_errors=True)
    installation.sockets.mkdir(mode=0o700, parents=True)
    installation.posting.mkdir(exist_ok=True)
    transparency_logs.create(installation.transparency, installation.transparency_url, now=now)
    perspectives.write(installation.pki.perspectives, installation.perspective_ports, now)
    installation.dns.mkdir(exist_ok=True)
    write_private(installation.folder / "envoy.json", envoy.render(installation.gateway))
    told = stack.kit_environment(installation, there)
    write_private(installation.kit_environment, "".join(f"{name}={shlex.quote(told[name])}\n" for name in told))
    if not there.every_database:
        if not postgres.exists(installation.cluster):
            say("PostgreSQL's files")
        postgres.create(installation.cluster)
        _forget_stale_server(installation.cluster)
    if not there.kafka:
        if not kafka_jars.are_here(installation.broker.cache):
            say("Fetching Kafka, 45 MB")
        kafka.create(installation.broker)


def _forget_stale_server(cluster: postgres.Cluster) -> None:
    """Delete the pid file of a killed server: PostgreSQL does not start if another program has that pid now."""
    file = cluster.data / "postmaster.pid"
    with contextlib.suppress(OSError, IndexError, ValueError):
        pid = int(file.read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline")
        if not command.exists() or str(cluster.data).encode() not in command.read_bytes():
            file.unlink()


def deploy_databases(installation: Installation, there: Outside, supervisor: Supervisor, say: Say) -> None:
    """Create roles and databases, and migrate them."""
    own = [service for service in SERVICES if not there.database(service)]
    if own:
        cluster = installation.cluster
        _wait(supervisor, lambda: postgres.is_ready(cluster), "PostgreSQL takes connections", 120)
        postgres.add_roles(cluster, installation.password_of("postgres"))
        for service in own:
            postgres.add_database(cluster, service)
    say("Migrations")
    for service in SERVICES:
        environment = stack.migrate_environment(installation, service, there)
        migrate(environment, service)


def migrate(environment: Mapping[str, str], service: str) -> None:
    """Migrate as `python -m services.NAME.main migrate` does, without a process for each service. Raises StepFailed."""
    url, own = (environment[f"{service.upper()}_{kind}DATABASE_URL"] for kind in ("MIGRATE_", ""))
    role = psycopg.conninfo.conninfo_to_dict(own)["user"]
    try:
        found = migrations.load(service, migrations_folder(ROOT, service))
        migrations.migrate(url, found, runtime_role=str(role))
    except (psycopg.Error, migrations.MigrationError) as error:
        raise StepFailed(f"The migrations of {service} failed: {error}") from error


def deploy_topics(installation: Installation, there: Outside, supervisor: Supervisor) -> None:
    """Create topics, users and ACLs, unless Kafka is an external one."""
    if there.kafka:
        return
    _wait(supervisor, lambda: is_taken(installation.broker.port), "Kafka listens", 180)
    _wait(supervisor, lambda: kafka.is_ready(installation.broker), "Kafka answers", 120)
    kafka.deploy(installation.broker, installation.password_of("kafka"))


def import_samples(installation: Installation, there: Outside, say: Say) -> None:
    """Import sample subscribers, ARs and subscriptions, the first time."""
    done = installation.folder / "samples" / "imported"
    if done.exists():
        return
    say("Sample subscribers and subscriptions")
    enrolment, subscriptions = samples.write(installation.pki, installation.folder / "samples", datetime.now(UTC))
    identity = stack.service_environment(installation, "identity", there)
    application = stack.service_environment(installation, "application", there)
    command("identity", "enrol", identity, str(enrolment), "--actor", "local")
    command("application", "import", application, str(subscriptions), "--actor", "local")
    done.touch()


def register_readers(installation: Installation, there: Outside, say: Say) -> None:
    """Register the back office's sample clients, the first time."""
    done = installation.folder / "samples" / "readers-registered"
    if done.exists():
        return
    say("Sample clients of the back office")
    environment = stack.service_environment(installation, "issuance", there)
    back_office.register(installation.pki.back_office, environment["ISSUANCE_DATABASE_URL"])
    done.touch()


def assign_roles(installation: Installation, there: Outside, say: Say) -> None:
    """Assign roles to the sample members of staff, the first time."""
    done = installation.folder / "samples" / "roles-assigned"
    if done.exists():
        return
    say("Sample members of staff")
    staff.assign_roles(stack.service_environment(installation, DESK, there)["DESK_DATABASE_URL"])
    done.touch()


def command(service: str, name: str, environment: Mapping[str, str], *arguments: str) -> None:
    """Run a service's command to its end. Raises StepFailed with its last lines."""
    done = subprocess.run(
        (sys.executable, "-m", f"{package(service)}.main", name, *arguments),
        env=dict(environment),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise StepFailed(f"{service} {name} failed:\n  " + "\n  ".join(words))


def wait_until_ready(
    processes: Iterable[Process],
    supervisor: Supervisor,
    limit: float = 180,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Wait until every process is ready, and say now and then which are not. Raises StepFailed that names them."""
    waiting = list(processes)
    end, said = time.monotonic() + limit, time.monotonic()
    while waiting:
        waiting = [process for process in waiting if not is_ready(process)]
        if waiting and (time.monotonic() > end or not supervisor.alive):
            raise StepFailed("Not ready: " + ", ".join(process.name for process in waiting))
        if waiting and time.monotonic() > said + _SAY_AGAIN:
            said = time.monotonic()
            say("Not ready yet: " + ", ".join(process.name for process in waiting))
        if waiting:
            time.sleep(0.2)


def is_ready(process: Process) -> bool:
    """Return the process's own readiness; without an admin page, whether it listens on all its ports."""
    if process.admin_port is not None:
        return _answers_200(process.admin_port)
    return all(map(is_taken, process.ports))


def _answers_200(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, http.client.HTTPException):
        return False


def _wait(supervisor: Supervisor, condition: Callable[[], bool], what: str, limit: float) -> None:
    wait_until(lambda: not supervisor.alive or condition(), limit=limit, what=what, every=0.1)
    if not supervisor.alive:
        raise StepFailed("supervisord ended: see supervisord.log")
