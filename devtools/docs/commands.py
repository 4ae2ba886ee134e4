"""docs/commands.md: every command, from the parsers that read the command lines."""

import argparse
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn
from unittest import mock

from deploy.postgres.roles import SERVICES, package
from devtools.docs.markdown import code, table
from shared.runtime.command_line import run

FILE: Final = Path("docs/commands.md")
_MAKEFILE: Final = Path("Makefile")
_HEAD: Final = """# Commands

Written by `make docs` from the Makefile and the argument parsers; a test compares them. In a checkout begin with
`.venv/bin/python -m`, in an image with `/app/venv/bin/python -m`; how to reach a pod: `docs/operations.md`. Every
command explains itself with `--help`.

## make
"""
_SERVICES: Final = """## Every service and the desk

`services.<service>.main COMMAND`, and the desk's `backoffice.desk.main COMMAND`.

`web`, `operate`, `consume`, `relay`, `work`, `migrate`, mailing's `print` and issuance's `feed` are processes. All
others are operator commands: each needs `--actor`, the name for the audit log, and prints text, or JSON with `--json`.
They wait for the database and refuse one with an older schema. Exit status: 0 if the command was done, 1 if it was
refused (one line on standard error) or has found something wrong, 2 for wrong arguments.
"""
_TOOLS: Final = (
    "portal.main",
    "perspective.main",
    "backoffice",
    "conformance",
    "backoffice.reconciliation.main",
    "deploy.local.run",
    "deploy.local.reconcile",
    "devtools.scenario",
    "devtools.scenario.crash_drill",
    "devtools.scenario.restore_drill",
    "devtools.scenario.date_rehearsal",
    "deploy.k8s.one_off",
    "deploy.k8s.dev_secrets",
    "benchmarks",
)
# Arguments that the text above the tables explains.
_OF_EVERY_COMMAND: Final = {"actor", "json"}
# Of programs that run when they are imported.
_ENTRY: Final = {"backoffice": "backoffice.kit.main"}


@dataclass(frozen=True)
class Entry:
    """One command as a row of a table."""

    name: str
    help: str
    arguments: str


class _Parsed(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(main: Callable[[], object]) -> argparse.ArgumentParser:
    """Return the parser that a program makes; the program ends there."""

    def parse_args(parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise _Parsed(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args):
        try:
            main()
        except _Parsed as found:
            return found.parser
    raise AssertionError(f"{main} parses no command line")


def text() -> str:
    """Return docs/commands.md."""
    own = {name: [*entries(_service_parser(name))] for name in SERVICES}
    common = [entry for entry in own["payment"] if all(entry in own[name] for name in own if name != "identity")]
    nothing_read = [entry.name for entry in common if entry not in own["identity"]]
    sections = [
        _HEAD,
        table(("command", "what it does"), make_targets()),
        _SERVICES,
        _table(common),
        f"identity reads no events and is not operated by the desk: it has no {', '.join(map(code, nothing_read))}.\n",
    ]
    for name, found in own.items():
        if beside := [entry for entry in found if entry not in common]:
            sections += [f"## {name}\n\n`{_main(name)} COMMAND`, beside those above.\n", _table(beside)]
    for name in _TOOLS:
        sections.append(_tool(name))
    return "\n".join(sections)


def make_targets() -> Iterator[tuple[str, str]]:
    """Yield the commands of the Makefile, as plain `make` lists them."""
    for target, help_text in re.findall(r"^([a-z-]+):.*?## (.*)$", _MAKEFILE.read_text("utf-8"), re.MULTILINE):
        yield code(f"make {target}"), help_text


def entries(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[Entry]:
    """Yield the commands of a parser, those of commands among them."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        helps = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, sub in group.choices.items():
            nested = [*entries(sub, f"{prefix}{name} ")]
            yield from nested or [Entry(f"{prefix}{name}", helps.get(name, ""), arguments(sub))]


def arguments(parser: argparse.ArgumentParser) -> str:
    """Return the arguments of a command, one a line."""
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    if parser.get_default("command") is not None:
        actions = [action for action in actions if action.dest not in _OF_EVERY_COMMAND]
    return "<br>".join(_argument(action) for action in actions)


def _argument(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else None
    value = metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper())
    if not action.option_strings:
        shown = metavar or action.dest
        shown = f"[{shown} …]" if action.nargs in ("*", argparse.REMAINDER) else shown
    else:
        shown = action.option_strings[0] if action.nargs == 0 else f"{action.option_strings[0]} {value}"
        shown = shown if action.required else f"[{shown}]"
    return f"{code(shown)}: {action.help}" if action.help else code(shown)


def _main(name: str) -> str:
    return f"{package(name)}.main"


def _service_parser(name: str) -> argparse.ArgumentParser:
    service = importlib.import_module(_main(name)).SERVICE
    return parser_of(lambda: run(service))


def _tool(name: str) -> str:
    is_package = Path(*name.split("."), "__main__.py").exists()
    module = importlib.import_module(_ENTRY.get(name, f"{name}.__main__" if is_package else name))
    parser = parser_of(module.main)
    head = f"## {name}\n\n{' '.join((parser.description or '').split())}\n"
    found = [*entries(parser)]
    if found:
        return f"{head}\n{_table(found)}"
    own = [_argument(action).split(": ", 1) for action in parser._actions if action.dest != "help"]
    return f"{head}\n{table(('argument', 'meaning'), [(each[0], each[1] if len(each) > 1 else '') for each in own])}"


def _table(found: Sequence[Entry]) -> str:
    rows = ((code(entry.name), entry.help, entry.arguments) for entry in found)
    return table(("command", "what it does", "arguments"), rows)
