"""`backoffice conformance -- COMMAND`: test a consumer of issuance events, and report its faults.

docs/events/README.md describes the command's environment and its output.
"""

import argparse
import logging
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import structlog

from conformance.checks import report
from conformance.consumer_under_test import Consumer
from conformance.feed_fixture import running
from conformance.scenario import Trial


def main() -> int:
    """Run the suite. Returns 0 if the consumer passes every check, else 1."""
    parser = argparse.ArgumentParser(
        prog="backoffice conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="working directory of the consumer")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command of the consumer, with its arguments")
    told = parser.parse_args()
    if not told.command:
        parser.error("name the consumer's command")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # A signal to this process must end the broker, the database and the consumer, too.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, frame: sys.exit(128 + number))
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="ecert-practice-"))
    try:
        folder.chmod(0o755)  # if we are root, PostgreSQL runs as another user
        say("Starting Kafka, PostgreSQL, relay, feed and gateway")
        with running(folder) as practice:
            state = folder / "state"
            state.mkdir()
            consumer = Consumer(
                "consumer", told.command, practice.environment("trial", state), folder, runs_in=told.folder
            )
            (verdict,) = Trial(practice, [consumer], say).hold()
        print(report(verdict))
        if not verdict.passed and (said := (folder / "consumer.err").read_text("utf-8", "replace")):
            print("\nIts last words:\n" + "\n".join(said.splitlines()[-10:]))
    finally:
        shutil.rmtree(folder)
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
