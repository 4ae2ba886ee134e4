"""Command line of the reconciliation: read the topics, or compare extracts, topics and external records."""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from backoffice.reconciliation import kinds, loading
from backoffice.reconciliation.comparing import ExtractMissing, Files, Report, compare
from backoffice.reconciliation.loading import ExtractRefused
from backoffice.reconciliation.tables import BadRecord
from shared.errors import Undecodable
from shared.events.base import CONFIDENTIAL, Topic
from shared.settings import KafkaSettings, read_env, read_kafka, seal

SERVICES: Final = ("identity", "application", "payment", "mailing", "issuance", "desk")
TOPICS: Final = tuple(topic for topic in Topic if topic not in CONFIDENTIAL)
DIVERGED: Final = 1
UNUSABLE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 if everything agrees, 1 for a divergence, 2 for files that prove nothing."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ExtractRefused, ExtractMissing, BadRecord, OSError) as error:
        print(f"reconciliation: {error}", file=sys.stderr)
        return UNUSABLE


def read_topics(kafka: KafkaSettings, output: Path, *, now: datetime) -> None:
    """Write every event of the topics, without its data, to a file of records."""
    loading.write_records(output, "record", _records(kafka), now=now)


def _records(kafka: KafkaSettings) -> Iterator[dict[str, Any]]:
    from shared.messaging import consumer, kafka_clients  # only commands that use Kafka import its client

    for batch in kafka_clients.read_all(kafka, "reconciliation", [topic.value for topic in TOPICS]):
        for message in batch:
            try:
                envelope = consumer.record_of(message).envelope()
            except Undecodable:
                continue  # not an event of ours; the consumer of its topic holds it
            yield {
                "id": str(envelope.id),
                "topic": envelope.topic.value,
                "key": envelope.subject,
                "sequence": envelope.sequence,
                "type": envelope.type,
                "time": envelope.time.isoformat(),
                "data_sha256": hashlib.sha256(envelope.data).hexdigest(),
            }


def show(report: Report) -> None:
    """Print every divergence, then one line a kind, then each service's state hash."""
    for divergence in report.divergences:
        print(divergence)
    counts = Counter(divergence.kind for divergence in report.divergences)
    meanings = {kind.name: kind.meaning for kind in kinds.ALL}
    for name, number in counts.items():
        print(f"{number:6}  {name}: {meanings[name]}")
    for service, state in report.states.items():
        print(f"state of {service}: {state}")
    if report.skipped:
        print(f"not compared, as their records are not here: {', '.join(report.skipped)}")
    print(f"{len(kinds.ALL) - len(report.skipped)} kinds compared, {len(report.divergences)} divergences")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reconciliation", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    topics = commands.add_parser("topics", help="write the events of all topics into a file")
    topics.add_argument("--output", type=Path, required=True)
    topics.set_defaults(run=_topics)
    comparing = commands.add_parser("compare", help="list every divergence by kind and renewal")
    comparing.add_argument("--extracts", type=Path, required=True, help="folder with SERVICE.jsonl of all services")
    comparing.add_argument(
        "--keys", type=Path, required=True, help="folder with SERVICE-audit-jwks.json of all services"
    )
    comparing.add_argument("--earlier", type=Path, help="folder of the day before, to detect a shortened audit log")
    comparing.add_argument(
        "--keep-earlier", action="store_true", help="move the extracts to the folder of --earlier after the comparison"
    )
    comparing.add_argument("--topics", type=Path, help="file that `topics` has written after all extracts")
    comparing.add_argument("--provider", type=Path, help="file with the payment provider's captures and refunds")
    comparing.add_argument("--mail", type=Path, help="file with the e-mails that the mail server accepted")
    comparing.add_argument("--grace", type=float, default=900, metavar="SECONDS", help="longest duration of a step")
    comparing.add_argument("--retained-days", type=float, help="retention of the topics")
    comparing.set_defaults(run=_compare)
    return parser


def _topics(options: argparse.Namespace) -> int:
    env = read_env()
    kafka = read_kafka(env)
    seal(env)
    read_topics(kafka, options.output, now=datetime.now(UTC))
    return 0


def _compare(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    files = Files(
        extracts=_extracts(options.extracts),
        keys=loading.keys_of(options.keys),
        topics=options.topics,
        provider=options.provider,
        mail=options.mail,
        earlier=_extracts(options.earlier) if options.earlier else [],
    )
    since = None if options.retained_days is None else now - timedelta(days=options.retained_days)
    report = compare(files, services=SERVICES, now=now, grace=timedelta(seconds=options.grace), since=since)
    show(report)
    if options.keep_earlier:
        options.earlier.mkdir(exist_ok=True)
        for path in files.extracts:
            path.replace(options.earlier / path.name)  # if an export fails tomorrow, its extract is missing
    return DIVERGED if report.divergences else 0


def _extracts(folder: Path) -> list[Path]:
    return [folder / f"{service}.jsonl" for service in SERVICES if (folder / f"{service}.jsonl").exists()]


if __name__ == "__main__":
    sys.exit(main())
