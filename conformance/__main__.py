"""`python -m conformance -- COMMAND`: test a consumer of issuance events, and report its faults.

docs/events/README.md describes the command's environment and its output.
"""

import argparse
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from conformance.checks import report
from conformance.consumer_under_test import Consumer
from conformance.feed_fixture import running
from conformance.scenario import Trial


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite. Returns 0 if the consumer passes every check, 1 if not, 2 if there is no such command."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="command of the consumer, with its arguments"
    )
    command = parser.parse_args(arguments).command
    if command[:1] == ["--"]:
        del command[0]
    if not command:
        parser.error("name the consumer's command")
    if shutil.which(command[0]) is None:
        print(f"conformance: there is no command {command[0]}", file=sys.stderr)
        return 2
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
            consumer = Consumer("consumer", command, practice.environment("trial", state), folder)
            (verdict,) = Trial(practice, [consumer], say).hold()
        print(report(verdict))
        if not verdict.passed and (said := (folder / "consumer.err").read_text("utf-8", "replace")):
            print("\nIts last words:\n" + "\n".join(said.splitlines()[-10:]))
    finally:
        shutil.rmtree(folder)
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
