"""Command line of a service: its processes, the operator commands of every service, and its own."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from shared.db import Pool
from shared.observability import logs
from shared.runtime import operator_commands, processes, repair_commands
from shared.runtime.operator_commands import OperatorCommand
from shared.runtime.service import AnyCommand, Command, Service, open_current_pool


def run(service: Service, arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, and run one process or operator command."""
    options = _parser(service).parse_args(arguments)
    name: str = options.name
    command: Command | OperatorCommand = options.command
    if isinstance(command, Command):
        command.run()
    else:
        operator_commands.run_command(partial(_open_pool, service, name, command), command, options)


def commands(service: Service) -> Mapping[str, AnyCommand]:
    """Return all commands of a service by name."""
    return {**processes.commands(service), **repair_commands.commands(service), **service.commands}


def _parser(service: Service) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"services.{service.name}.main", description=service.purpose)
    add_commands(parser, commands(service), metavar="COMMAND")
    return parser


def add_commands(parser: argparse.ArgumentParser, found: Mapping[str, AnyCommand], *, metavar: str) -> None:
    """Declare the commands, those of a group under its name."""
    subparsers = parser.add_subparsers(required=True, metavar=metavar)
    for name, command in found.items():
        sub = subparsers.add_parser(name, help=command.help, description=command.help)
        match command:
            case Command():
                sub.set_defaults(command=command, name=name)
            case OperatorCommand():
                command.add_arguments(sub)
                operator_commands.add_common_arguments(sub)
                sub.set_defaults(command=command, name=name)
            case _:
                add_commands(sub, command.commands, metavar="ACTION")


def _open_pool(service: Service, name: str, command: OperatorCommand) -> Pool:
    """Open the pool of an operator command; its log goes to standard error, beside the report."""
    settings = service.read_settings()
    logs.configure(service.name, name, settings.log_level, out=sys.stderr)
    return open_current_pool(
        service, settings, name, max_size=command.max_size, while_recovering=command.while_recovering
    )
