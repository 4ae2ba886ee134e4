"""Jars of Apache Kafka, resolved from their Maven coordinates and compared with the committed hashes."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Final

# slf4j-simple, not log4j, whose parent would pull in an older kafka-clients that does not start.
COORDINATES: Final = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
HASHES: Final = Path(__file__).with_name("kafka-jars.sha256")


class WrongJar(Exception):
    """A jar's hash differs from the committed one."""


def jars(cache: Path) -> tuple[Path, ...]:
    """Return all jars of Kafka, verified; downloaded into the cache the first time."""
    cache.mkdir(parents=True, exist_ok=True)
    # One process at a time: a second resolver takes the folder that the first one is still filling for complete.
    with (cache / "kafka-jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _cached(cache):
            _fetch(cache)
    found = _cached(cache)
    _check(found)
    return found


def are_here(cache: Path) -> bool:
    """Return whether all jars are in the cache."""
    return bool(_cached(cache))


def _cached(cache: Path) -> tuple[Path, ...]:
    """Return the jars of the last download, if they all still exist."""
    listing = cache / "kafka-jars.txt"
    if not listing.exists():
        return ()
    found = tuple(map(Path, listing.read_text().splitlines()))
    return found if all(jar.exists() for jar in found) else ()


def _check(found: tuple[Path, ...]) -> None:
    """Verify the hashes of all jars: the resolver accepts a changed jar without a message."""
    expected = {name: digest for digest, name in (line.split() for line in HASHES.read_text().splitlines())}
    actual = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in found}
    if wrong := sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name)):
        places = ", ".join(sorted({str(jar.parent) for jar in found}))
        raise WrongJar(
            f"Kafka's jars differ from {HASHES.name}: {', '.join(wrong)}; remove {places} "
            "and the same files in ~/.m2/repository, then start again"
        )


def _fetch(cache: Path) -> None:
    # A separate process: the resolver warns about run-time folders and keeps settings per process.
    done = subprocess.run(
        (sys.executable, "-W", "ignore", "-m", "deploy.local.kafka_jars", str(cache)),
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()[-20:] or ["no reason given"]
        raise WrongJar(
            f"Kafka's jars ({COORDINATES}) could not be fetched. Is Maven Central reachable? The resolver's last lines:"
            + "".join(f"\n  {line}" for line in lines)
        )


def main(cache: Path) -> None:
    """Resolve and download; the list of files is written last."""
    warnings.simplefilter("ignore")
    import jgo

    # What an interrupted resolver left behind would be taken for complete.
    shutil.rmtree(cache / "jgo", ignore_errors=True)
    environment = jgo.build(COORDINATES, cache_dir=cache / "jgo")
    listing = cache / "kafka-jars.txt"
    listing.write_text("".join(f"{jar}\n" for jar in sorted(environment.all_jars)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
