"""Command line of the consumer kit: follow the feed, export certificates, verify a file, test a consumer."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from kafka.errors import KafkaError

from backoffice.kit import exporting, verifying
from backoffice.kit.client import FEED, FeedClient, Page
from backoffice.kit.following import Follower, Patience
from backoffice.kit.keys import KeyRing
from backoffice.kit.order import Finding, Kind
from backoffice.kit.output import Printer, Wanted, printable
from backoffice.kit.settings import KitSettings, read_settings, state_file
from backoffice.kit.sources import HTTPSource, KafkaSource, Source
from backoffice.kit.state import AnotherBeginning, State
from shared.events.base import Envelope
from shared.lifecycle import Lifecycle
from shared.messaging import kafka_clients
from shared.observability import logs
from shared.security.tokens import KeySet
from shared.validation import texts
from shared.web.https_client import APIProblem, APIUnavailable

FINDINGS: Final = 1
# Its function `main` takes the arguments and returns the exit status.
_SUITE: Final = "conformance.__main__"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 on success, 1 if something is wrong with what was read."""
    options = _parser().parse_args(arguments)
    logs.configure("backoffice", options.command, os.environ.get("LOG_LEVEL", "WARNING"), out=sys.stderr)
    try:
        return int(options.run(options))
    except (APIProblem, APIUnavailable, AnotherBeginning, KafkaError) as refused:
        print(f"backoffice: {refused}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone: the events that it did not get are not recorded, and nothing more can be
        # written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="backoffice", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    follow = commands.add_parser("follow", help="print every event of the feed, in order and once")
    follow.add_argument("--json", action="store_true", help="print one CloudEvent a line")
    follow.add_argument("--http", action="store_true", help="read over HTTP only, without Kafka")
    begin = follow.add_mutually_exclusive_group()
    begin.add_argument("--since", type=_moment, help="print events from this time on (ISO 8601 with a time zone)")
    begin.add_argument("--from-serial", metavar="SERIAL", help="print events from this certificate's issuance on")
    begin.add_argument(
        "--from-position",
        type=int,
        metavar="POSITION",
        help="read from this position on, without checks of earlier ones",
    )
    follow.add_argument("--until-head", action="store_true", help="exit at the present head of the feed")
    follow.set_defaults(run=_follow)
    export = commands.add_parser("export", help="write the certificates that `follow` has recorded")
    export.add_argument("--csv", required=True, type=Path, metavar="FILE", help="file to write; - for standard output")
    export.set_defaults(run=_export)
    verify = commands.add_parser("verify", help="check a file of events, or an export")
    verify.add_argument("file", type=Path)
    verify.set_defaults(run=_verify)
    conformance = commands.add_parser("conformance", help="run the conformance suite against a consumer of your own")
    conformance.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    conformance.set_defaults(run=_conformance)
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment


def _follow(options: argparse.Namespace) -> int:
    settings = read_settings(needs_kafka=not options.http, needs_http=options.http or options.until_head)
    with ExitStack() as stack:
        state = State(settings.state_file, FEED, baseline=options.from_position)
        stack.callback(state.close)
        client = _client(settings, stack)
        keys = KeyRing(_keys(settings, client))
        printer = Printer(sys.stdout, as_json=options.json, wanted=_wanted(options))
        source = _source(settings, client, options, stack)
        patience = Patience(seconds=settings.patience_seconds)
        follower = Follower(source, state, keys, printer, client=client, patience=patience)
        with _ending(follower) as life:
            _look_back(options, state, client, keys, printer)
            follower.run(life, until=client.head() if client and options.until_head else None)
    return FINDINGS if printer.findings else 0


def _client(settings: KitSettings, stack: ExitStack) -> FeedClient | None:
    if settings.http is None:
        return None
    client = FeedClient(settings.http)
    stack.callback(client.close)
    return client


def _keys(settings: KitSettings, client: FeedClient | None) -> Callable[[], KeySet]:
    file = settings.jwks_file
    if file is not None:
        return lambda: KeySet.load(file)
    assert client is not None
    return client.keys


def _source(settings: KitSettings, client: FeedClient | None, options: argparse.Namespace, stack: ExitStack) -> Source:
    source: Source
    if settings.kafka is None:
        assert client is not None
        source = HTTPSource(client, wait_seconds=0 if options.until_head else 20)
    else:
        consumer = kafka_clients.make_consumer(
            settings.kafka, "backoffice-kit", group=settings.group, topics=[FEED.value]
        )
        source = KafkaSource(consumer)
    stack.callback(source.close)
    return source


class _From:
    """Filter that opens at the first event for which the condition holds."""

    def __init__(self, condition: Wanted) -> None:
        self._condition = condition
        self._begun = False

    def __call__(self, event: Envelope) -> bool:
        self._begun = self._begun or self._condition(event)
        return self._begun


def _wanted(options: argparse.Namespace) -> Wanted:
    if options.since is not None:
        return _From(lambda event: event.time >= options.since)
    if options.from_serial is not None:
        serial = f'"serial":"{options.from_serial.lower()}"'.encode()
        return _From(lambda event: event.type.endswith(".certificate-issued.v1") and serial in event.data)
    return lambda event: True


def _look_back(
    options: argparse.Namespace, state: State, client: FeedClient | None, keys: KeyRing, printer: Printer
) -> None:
    """Read recorded events again over HTTP, as far back as requested; none of them is recorded again."""
    if (options.since is None and options.from_serial is None) or state.next_position == state.baseline + 1:
        return
    if client is None:
        raise SystemExit("backoffice: FEED_URL is needed to read earlier events again")
    after = state.baseline
    if options.from_serial is not None and (known := state.find_certificate(options.from_serial.lower())) is not None:
        after = known.position - 1
    while after + 1 < state.next_position:
        page = client.page(after, limit=500)
        last = min(page.last or state.next_position, state.next_position - 1)
        for what in _served_again(page, after, last, state, keys):
            printer(what)
        after = last


def _served_again(page: Page, after: int, last: int, state: State, keys: KeyRing) -> Iterator[Envelope | Finding]:
    """Yield the events that the feed has at these positions; an event that was recorded but is no longer served is a
    finding.
    """
    yield from (Finding(kind=Kind.UNREADABLE, position=None, detail=why) for why in page.unreadable)
    events = {event.position: event for event in page.events}
    for position in range(after + 1, last + 1):
        if (event := events.get(position)) is None:
            if state.id_at(position) is not None:
                yield Finding(kind=Kind.GAP, position=position, detail="is not served any more")
        elif (why := keys.verify(event)) is not None:
            yield Finding(kind=Kind.FORGED, position=position, detail=why)
        else:
            yield event


class _Ended(BaseException):
    """A signal arrived while the loop was idle."""


@contextmanager
def _ending(follower: Follower) -> Iterator[Lifecycle]:
    """Stop on SIGTERM or SIGINT after the current batch; at once while the loop is idle."""
    life = Lifecycle()

    def end(number: int, frame: FrameType | None) -> None:
        life.end()
        if follower.idle:
            raise _Ended

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(_Ended):
            yield life
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _export(options: argparse.Namespace) -> int:
    file = state_file()
    if not file.exists():
        raise SystemExit(f"backoffice: {file} is not there: run follow first")
    state = State(file, FEED, baseline=None)
    try:
        text = exporting.as_csv(state.certificates(), up_to=state.next_position - 1)
    finally:
        state.close()
    if str(options.csv) == "-":
        sys.stdout.write(text)
    else:
        partial = options.csv.with_name(f".{options.csv.name}.new")
        partial.write_text(text, "utf-8", newline="")
        partial.replace(options.csv)
    return 0


def _verify(options: argparse.Namespace) -> int:
    settings = read_settings(needs_kafka=False, needs_http=False)
    with ExitStack() as stack:
        keys = KeyRing(_keys(settings, _client(settings, stack)))
        text = texts.decode(options.file.read_bytes(), "replace")
        report = verifying.verify(text, keys)
    print(f"{options.file}: {report.what}")
    for each in report.wrong:
        print(f"  {printable(each)}")
    print("something is wrong" if report.wrong else "all of it is good")
    return FINDINGS if report.wrong else 0


def _conformance(options: argparse.Namespace) -> int:
    """Run the conformance suite in this process, with the same arguments as `python -m conformance`.

    The suite needs the whole repository, the kit does not: so the suite is imported by name, and only here.
    """
    try:
        suite = importlib.import_module(_SUITE)
    except ModuleNotFoundError as missing:
        raise SystemExit(f"backoffice conformance: the suite is missing: {missing}") from None
    return int(suite.main(options.arguments))
