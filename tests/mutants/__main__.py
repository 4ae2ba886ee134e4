"""`make mutants`: plant each known fault in a copy of the tree, and see that the suite finds it."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from deploy.local.installation import CACHE
from tests.mutants.catalogue import Mutant, load, stale

ROOT: Final = Path(__file__).parents[2]
# A mutant may hang what it breaks; a test that does not end has found it.
TEST_SECONDS: Final = 60
RUN_SECONDS: Final = 600


class Verdict(Enum):
    """Verdict on a mutant."""

    FOUND = "found"
    SURVIVED = "SURVIVED"
    # pytest could not run: a syntax error in the mutant, a test that is not there.
    BROKEN = "BROKEN"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run of the named tests, with the last line that pytest printed."""

    verdict: Verdict
    seconds: float
    said: str


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Yield a throw-away copy of every file that git knows or would add, with the cache of engines beside it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    folder = Path(tempfile.mkdtemp(prefix="ecert-mutants-"))
    try:
        folder.chmod(0o755)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        CACHE.mkdir(parents=True, exist_ok=True)
        (folder / CACHE.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        (folder / CACHE.relative_to(ROOT)).symlink_to(CACHE.resolve())
        yield folder
    finally:
        shutil.rmtree(folder)


def run(tests: Sequence[str], root: Path) -> Outcome:
    """Run these tests in the copy until the first fails."""
    # No .pyc: a mutant of the same length, planted within one second, would be taken for the original.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not nightly"]
    command += ["-o", f"timeout={TEST_SECONDS}"]
    started = time.monotonic()
    try:
        done = subprocess.run(
            [*command, *tests], cwd=root, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Outcome(verdict=Verdict.FOUND, seconds=RUN_SECONDS, said="the tests did not end")
    said = next((line for line in reversed(done.stdout.splitlines()) if line.startswith(("FAILED", "ERROR"))), "")
    verdict = {0: Verdict.SURVIVED, 1: Verdict.FOUND}.get(done.returncode, Verdict.BROKEN)
    if verdict is Verdict.FOUND and not said.startswith("FAILED"):
        verdict = Verdict.BROKEN  # a fixture failed: that may be the machine
    if verdict is Verdict.BROKEN:
        said = said or (done.stdout + done.stderr).strip()[-500:]
    return Outcome(verdict=verdict, seconds=time.monotonic() - started, said=said)


def judge(mutant: Mutant, root: Path) -> Outcome:
    """Plant one mutant, run its tests, restore the code."""
    before = mutant.plant(root)
    try:
        return run(mutant.tests, root)
    finally:
        mutant.restore(root, before)


def main() -> None:
    """Test all mutants, or those named; exit status 1 if one survives or no longer fits the code."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of the mutants to test")
    options = parser.parse_args()
    mutants = [each for each in load() if not options.names or each.name in options.names]
    if faults := list(stale(mutants, ROOT)) or ([] if mutants else ["there is no such mutant"]):
        raise SystemExit("\n".join(faults))
    with copy_of_the_tree() as root:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        sound = run(tests, root)
        print(f"{len(tests)} tests without a fault: {sound.seconds:.0f} s", flush=True)
        if sound.verdict is not Verdict.SURVIVED:
            raise SystemExit(f"the tests must pass without a mutant first: {sound.said}")
        wrong = [mutant.name for mutant in mutants if _shown(mutant, judge(mutant, root)) is not Verdict.FOUND]
    print(f"{len(mutants) - len(wrong)} of {len(mutants)} mutants found")
    if wrong:
        raise SystemExit(f"not found: {', '.join(wrong)}")


def _shown(mutant: Mutant, outcome: Outcome) -> Verdict:
    by = outcome.said.removeprefix("FAILED ").partition(" - ")[0]
    print(f"{outcome.verdict.value:9} {outcome.seconds:5.1f} s  {mutant.name:40} {by}", flush=True)
    return outcome.verdict


if __name__ == "__main__":
    main()
