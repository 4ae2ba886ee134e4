"""Operator commands: one runner for all commands that a person runs on a service's database.

Every command needs `--actor`, the name for the audit log, and prints text or, with `--json`, JSON. Exit status: 0 if it
was done, 1 if it was refused or has found something wrong (one line on standard error), 2 for wrong arguments.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NoReturn

import psycopg

from shared.db import UNAVAILABLE, Pool
from shared.errors import Refused, Unavailable
from shared.operators.proposals import DESK_ACTOR
from shared.tx import Tx, transaction

AddArguments = Callable[[argparse.ArgumentParser], None]
Row = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of a command: `values` for programs, and `text` for people; without text the values as a table."""

    values: Row | Sequence[Row]
    text: str | None = None
    # The command has found something wrong: exit status 1.
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class OperatorCommand:
    """Command of an operator; the runner opens the pool, of `max_size` connections."""

    help: str
    run: Callable[[Pool, argparse.Namespace], Report]
    add_arguments: AddArguments = lambda parser: None
    max_size: int = 1
    # Also runs while an outbox recovery is open, because it announces no events.
    while_recovering: bool = False


def in_transaction(act: Callable[[Tx, argparse.Namespace], Report]) -> Callable[[Pool, argparse.Namespace], Report]:
    """Return the body of a command that consists of one transaction."""

    def run(pool: Pool, options: argparse.Namespace) -> Report:
        with transaction(pool) as tx:
            return act(tx, options)

    return run


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that every operator command has."""
    parser.add_argument("--actor", type=_actor, required=True, help="name for the audit log")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _actor(text: str) -> str:
    """Return a name that cannot be mistaken for desk staff, whose names come from their certificates."""
    if not text.strip() or text.strip().casefold().startswith(DESK_ACTOR):
        raise ValueError(f"an actor does not begin with {DESK_ACTOR!r}")
    return text.strip()


def run_command(
    open_pool: Callable[[], AbstractContextManager[Pool]], command: OperatorCommand, options: argparse.Namespace
) -> None:
    """Run a command and print its report. Raises SystemExit with one line if it is refused."""
    with _refusals_as_one_line(), open_pool() as pool:
        report = command.run(pool, options)
    print(json.dumps(report.values, default=str) if options.json else _text(report))
    if report.failed:
        sys.exit(1)


@contextmanager
def _refusals_as_one_line() -> Iterator[None]:
    try:
        yield
    except (Refused, Unavailable) as refused:
        _refuse(refused.reason, refused)
    except UNAVAILABLE as error:
        _refuse("database-unavailable", error)
    except psycopg.errors.InsufficientPrivilege as error:
        _refuse("not-permitted", error)
    except OSError as error:
        _refuse("file-unusable", error)


def _refuse(reason: str, error: BaseException) -> NoReturn:
    raise SystemExit(f"{reason}: {' '.join(str(error).split())}") from error


def _text(report: Report) -> str:
    if report.text is not None:
        return report.text
    if isinstance(report.values, Mapping):
        return _table([[name, value] for name, value in report.values.items()])
    if not report.values:
        return "none"
    names = [*dict.fromkeys(name for row in report.values for name in row)]
    return _table([names, *([row.get(name) for name in names] for row in report.values)])


def _table(rows: Sequence[Sequence[object]]) -> str:
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
