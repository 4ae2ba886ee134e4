"""Command that asks all perspectives whether CAA records permit a certificate for a name, as before a signature."""

import argparse
import uuid
from collections.abc import Callable, Mapping, Sequence

from services.issuance import domain_evidence
from services.issuance.dcv import methods
from services.issuance.dcv.answers import Answer, answers_of
from services.issuance.domain_checks import CheckDeps
from shared.pki.names import base_name, server_name
from shared.pki.observations import Kind, Outcome, Question
from shared.runtime.operator_commands import OperatorCommand, Report
from shared.tx import Clock, utc_now
from shared.vocabulary import SubscriberId


def command(make: Callable[[], CheckDeps]) -> OperatorCommand:
    """Return the command. `make` connects to the perspectives: the command needs what `validate` needs."""
    return OperatorCommand(
        help="ask all perspectives for the CAA records of names; exit status 1 if one may not be certified",
        run=lambda _, options: check(
            [*map(server_name, options.name)], make(), SubscriberId(options.subscriber), options.method
        ),
        add_arguments=_arguments,
        while_recovering=True,
    )


def check(
    names: Sequence[str], deps: CheckDeps, subscriber_id: SubscriberId, method: str, *, clock: Clock = utc_now
) -> Report:
    """Return the verdict on each name, in the form of certificates, and what each perspective saw."""
    rows = [_verdict(name, deps, subscriber_id, method, clock) for name in names]
    return Report(values=rows, failed=not all(row["permitted"] for row in rows))


def _verdict(
    name: str, deps: CheckDeps, subscriber_id: SubscriberId, method: str, clock: Clock
) -> Mapping[str, object]:
    question = Question(Kind.CAA, base_name(name) or name)
    outcomes = deps.perspectives.observe([question], uuid.uuid4())
    answers = answers_of(deps.perspectives.primary, outcomes)
    obstacle = domain_evidence.judge_caa(name, answers, method, clock(), deps.rules, subscriber_id)
    return {
        "name": name,
        "permitted": obstacle is None,
        "reason": None if obstacle is None else obstacle.reason,
        "record": None if obstacle is None else obstacle.record,
        "seen": "; ".join(f"{perspective}: {_seen(answer)}" for perspective, answer in sorted(answers.by.items())),
    }


def _seen(answer: Answer) -> str:
    observation = answer.to(Kind.CAA)
    if observation is None:
        return answer.failure or "nothing"
    if observation.outcome is not Outcome.FOUND:
        return observation.reason or observation.outcome
    records = ", ".join(f'{each.flags} {each.tag} "{each.value}"' for each in observation.records)
    return f"{observation.owner} {records}"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="+", help="server name; a wildcard is judged by issuewild")
    parser.add_argument("--method", choices=methods.METHODS, default=methods.DNS_CHANGE, help="method of validation")
    parser.add_argument("--subscriber", default="", help="subscriber id, for records that name an account")
