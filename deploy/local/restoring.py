"""Restore of one service's database to a point in time: base backup and archived WAL, into a second cluster, then
copied.

All databases of this machine share one cluster, and a base backup restores all of them. So the cluster is restored
beside the running one, and one database is dumped there and loaded here. In production each service has a cluster of
its own, which replaces the lost one.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg

from deploy.local import postgres
from deploy.local.postgres import Cluster
from deploy.local.waiting import free_port, wait_until

RESTORE_SECONDS: Final = 120


def begin_archive(folder: Path) -> None:
    """Create the archive folder before the cluster's first start, which enables archiving."""
    postgres.make_folder(folder)


def base_backup(cluster: Cluster, folder: Path) -> None:
    """Copy the running cluster's files."""
    postgres.make_folder(folder)
    address = ("--host=127.0.0.1", f"--port={cluster.port}", "--username=postgres")
    postgres.program(
        cluster, "pg_basebackup", *address, f"--pgdata={folder}/data", "--checkpoint=fast", "--wal-method=none"
    )


def archive_everything(cluster: Cluster) -> None:
    """Close the present WAL file and wait until it is archived, as the last file of a lost server."""
    assert cluster.archive is not None
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as conn:
        row = conn.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row is not None
    last = cluster.archive / row[0]
    wait_until(last.exists, limit=30, what="the last WAL file is archived")


@contextmanager
def restored(cluster: Cluster, backup: Path, moment: datetime, folder: Path) -> Iterator[Cluster]:
    """Yield a second cluster, restored to this time, for the duration of the block."""
    archive = folder / "wal-archive"
    postgres.make_folder(folder)
    postgres.make_folder(archive)
    shutil.copytree(backup / "data", folder / "data", symlinks=True)
    second = Cluster(folder=folder, port=free_port(), password=cluster.password, archive=archive)
    with (folder / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'cp {cluster.archive}/%f %p'\n")
        settings.write(f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = 'promote'\n")
    (folder / "data" / "recovery.signal").touch()
    postgres.give_tree(folder)
    with postgres.running(second, limit=RESTORE_SECONDS):
        with psycopg.connect(second.url("postgres"), autocommit=True) as conn:
            wait_until(
                lambda: conn.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,),
                limit=RESTORE_SECONDS,
                what="the restored cluster is at its moment",
            )
        yield second


def carry_over(source: Cluster, target: Cluster, database: str) -> None:
    """Replace a database of the running cluster by the restored one."""
    dump = source.folder / f"{database}.dump"
    address = ("--host=127.0.0.1", "--username=postgres", f"--dbname={database}")
    postgres.program(source, "pg_dump", *address, f"--port={source.port}", "--format=custom", f"--file={dump}")
    postgres.drop_database(target, database)
    postgres.add_database(target, database)
    postgres.program(target, "pg_restore", *address, f"--port={target.port}", "--exit-on-error", str(dump))
