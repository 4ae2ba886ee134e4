"""`make rehearse`: issue with every clock set to the last second before a day, to its first, and to the next one.

Every process shows the same clock. A renewal comes to the point before its CSRs nine hours before the day. Then the
clock is set to each of the three seconds and runs a thousand times slower, while CSRs are submitted and answered.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.local import bring_up, perspectives, processes, samples, stack
from deploy.local.ct.logs import LOG_LIST
from deploy.local.installation import DEFAULT_FOLDER, Installation, Ports
from deploy.local.passwords import write_private
from deploy.local.run import Progress, running
from deploy.local.supervision import Supervisor
from devtools.clock import SLOW, Clock, NoCompiler
from devtools.scenario.ar import Order
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.gateway_client import wait_for
from devtools.scenario.journey import Journey, openssl_verify
from devtools.scenario.target import Target
from services.issuance.ca.lint import pkilint_findings
from services.issuance.ct import certificate_check
from services.issuance.ct.log_list import load

FOLDER: Final = DEFAULT_FOLDER.parent / ".local-rehearsal"
SECOND: Final = timedelta(seconds=1)
# The system is started so long before the day: what was seen of CAA then is too old, all perspectives are asked again.
LEAD: Final = timedelta(hours=9)
# Seconds from the beginning of the day.
MOMENTS: Final = (-1, 0, 1)
ALL_REMOTES: Final = len(perspectives.PLACES) - 1


@dataclass(kw_only=True)
class Outcome:
    """Outcome of a CSR that was submitted so many seconds from the beginning of the day.

    `obstacles`, "kind: reason", made it wait in that second, if it did. `certificate` is the one that it got, then or
    at the end; `domain` says by which checks. A refused order has a `refusal` instead.
    """

    moment: int
    is_early: bool
    obstacles: list[str] = field(default_factory=list)
    refusal: str | None = None
    certificate: dict[str, Any] = field(default_factory=dict)
    domain: dict[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether there is a certificate that verifies, and that no linter objects to."""
        return self.refusal is None and self.certificate["openssl"] == "OK" and not self.certificate["findings"]

    def __str__(self) -> str:
        name = f"{self.moment:+d} s, {'first' if self.is_early else 'second'} order"
        held = f"waited ({', '.join(self.obstacles)}), then " if self.obstacles else ""
        if self.refusal is not None:
            return f"{name}: REFUSED ({self.refusal})"
        got, domain = self.certificate, self.domain
        scts = ", ".join(f"{each['log']} ({each['operator']})" for each in got["scts"])
        return (
            f"{name}: {held}{got['days']:g} days from {got['not_before']}, {', '.join(got['purposes'])}, "
            f"{got['openssl']}, {'; '.join(got['findings']) or 'no finding'}\n"
            f"    proved {domain['proved_at']} by {domain['quorum']} of {domain['remotes']} remote perspectives, "
            f"CAA seen {domain['caa_at']} by {domain['caa_remotes']}; SCTs: {scts}"
        )


@dataclass(kw_only=True)
class DateRehearsal:
    """A system of its own, and the renewals in it: two orders for each of the moments.

    The domains of the early orders are proved `proof_age` days before, if that is not 0. With fewer `remotes` than
    there are, the others come to the perspectives at the moment 0, once the early order has been judged without them.
    """

    day: date
    proof_age: int
    remotes: int
    clock: Clock
    installation: Installation
    say: Progress
    outcomes: list[tuple[Order, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begins = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        self.target = Target(installation=self.installation, patience=20)
        count = len(MOMENTS)
        subscriptions = samples.many(2 * count)
        self.early, self.late = subscriptions[:count], subscriptions[count:]

    def run(self) -> list[Outcome]:
        """Run to the last certificate."""
        if self.proof_age:
            self._at(timedelta(days=-self.proof_age) - LEAD)
            with running(self.installation, self.say):
                journey = self.target.journey([], self.installation.folder / "before")
                journey.ar.sign_in()
                journey.ar.prove([name for each in self.early for name in each.server_names])
                journey.ar.close()
        self._at(-LEAD)
        with running(self.installation, self.say) as supervisor:
            if self.remotes < ALL_REMOTES:
                self._ask_remotes(self.remotes, supervisor)
            self._renew(supervisor)
        return [outcome for _, outcome in self.outcomes]

    def _at(self, offset: timedelta, slowness: int = 1) -> None:
        self.clock.set(self.begins + offset, slowness=slowness)
        self.say(f"Every clock shows {datetime.now(UTC):%Y-%m-%d %H:%M:%S}")

    def _renew(self, supervisor: Supervisor) -> None:
        import_subscriptions(self.installation, (*self.early, *self.late))
        srns = [each.srn for each in (*self.early, *self.late)]
        journey = self.target.journey(srns, self.installation.folder / "renewal")
        self.say(f"A renewal of {len(srns)} certificates, up to the CSRs")
        journey.apply()
        journey.receive()
        csrs = journey.make_csrs()
        by_name = {order.server_names: order for order in journey.orders}
        for moment, early, late in zip(MOMENTS, self.early, self.late, strict=True):
            self._at(moment * SECOND, SLOW)
            journey.ar.sign_in()
            for each in (early, late):
                order = by_name[each.server_names]
                journey.hand_in(order, csrs[order])
                self._take(order, Outcome(moment=moment, is_early=each is early), journey)
                if moment == 0 and each is early and self.remotes < ALL_REMOTES:
                    self._ask_remotes(ALL_REMOTES, supervisor)
        self._at((MOMENTS[-1] + 1) * SECOND)
        self._end(journey)

    def _ask_remotes(self, count: int, supervisor: Supervisor) -> None:
        """Have issuance ask that many remote perspectives: rewrite their list, start its processes again."""
        self.say(f"Issuance asks {count} remote perspectives")
        ports = self.installation.perspective_ports
        places = json.loads(perspectives.describe({name: f"127.0.0.1:{port}" for name, port in ports.items()}))
        write_private(self.installation.pki.perspectives / perspectives.LIST, json.dumps(places[: count + 1]))
        table = processes.table(self.installation, stack.outside())
        mine = [each for each in table if each.name.startswith("issuance-")]
        supervisor.stop_some(mine)
        supervisor.start(mine)
        bring_up.wait_until_ready(mine, supervisor)

    def _take(self, order: Order, outcome: Outcome, journey: Journey) -> None:
        """Wait until the order has its certificate, waits for something, or is refused."""
        self.outcomes.append((order, outcome))
        wait_for(f"an outcome of {order.reference}", lambda: self._see(order, outcome, journey))
        if not outcome.obstacles and outcome.refusal is None:
            self._note(order, outcome, journey)

    def _see(self, order: Order, outcome: Outcome, journey: Journey) -> bool | None:
        found = journey.ar.get(f"/issuance/v1/renewals/{order.renewal_id}/orders").json()
        state = next(each for each in found if each["item_id"] == order.item_id)
        outcome.obstacles = [f"{each['kind']}: {each['reason']}" for each in state["obstacles"]]
        outcome.refusal = state["refusal"]
        return bool(outcome.obstacles or outcome.refusal or state["certificate"]) or None

    def _end(self, journey: Journey) -> None:
        """Prove the domains of all orders that wait, and complete the renewal."""
        journey.ar.sign_in()
        waiting = [(order, outcome) for order, outcome in self.outcomes if outcome.obstacles]
        names = [name for order, _ in waiting for name in order.server_names]
        if names:
            self.say(f"Another proof of control of {', '.join(names)}")
            journey.ar.prove(names)
            for name in names:
                journey.ar.post(f"/issuance/v1/domains/{name}/checks")
        for order, outcome in waiting:
            self._note(order, outcome, journey)
        if all(outcome.refusal is None for _, outcome in self.outcomes):
            journey.wait_for_the_end()
            journey.accept()
        journey.ar.close()

    def _note(self, order: Order, outcome: Outcome, journey: Journey) -> None:
        """Note the certificate and the domain's checks of now."""
        journey.download(order)
        chain = journey.certificates[order.reference]
        outcome.certificate = self._facts(chain)
        outcome.domain = self._checks(order.server_names[0], x509.load_pem_x509_certificates(chain.read_bytes())[0])

    def _facts(self, chain: Path) -> dict[str, Any]:
        found = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        der = found.public_bytes(Encoding.DER)
        purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        scts = found.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        logs = {each.log_id: each for each in load(self.installation.transparency / LOG_LIST, plain_http=True).logs}
        return {
            "not_before": found.not_valid_before_utc.isoformat(),
            "not_after": found.not_valid_after_utc.isoformat(),
            "days": (found.not_valid_after_utc - found.not_valid_before_utc + SECOND) / timedelta(days=1),
            "purposes": [purpose.dotted_string for purpose in purposes],
            "scts": [
                {"at": each.timestamp.isoformat(), "log": log.description, "operator": log.operator}
                for each in scts
                for log in [logs[each.log_id]]
            ],
            "openssl": openssl_verify(chain, self.target.root),
            "findings": [*map(str, pkilint_findings(der)), *certificate_check.faults(der)],
        }

    def _checks(self, domain: str, issued: x509.Certificate) -> dict[str, Any]:
        """Return the proof and the CAA answers that were there when the certificate was issued."""
        url = self.installation.cluster.url("issuance", "issuance", self.installation.passwords["postgres/issuance"])
        with psycopg.connect(url) as conn:
            rows = conn.execute(
                """SELECT checked_at, method, quorum,
                          (SELECT count(*) FROM jsonb_object_keys(reports -> 'by')) - 1
                   FROM domain_checks WHERE domain = %s AND checked_at < %s ORDER BY checked_at DESC""",
                (domain, issued.not_valid_before_utc + SECOND),
            ).fetchall()
        proved_at, _, quorum, remotes = next(row for row in rows if row[1] is not None)
        return {
            "proved_at": proved_at.isoformat(),
            "quorum": quorum,
            "remotes": remotes,
            "caa_at": rows[0][0].isoformat(),
            "caa_remotes": rows[0][3],
        }


def _rehearse(options: argparse.Namespace, clock: Clock) -> int:
    say = Progress()
    rehearsal = DateRehearsal(
        day=options.day,
        proof_age=options.proof_age,
        remotes=options.remotes,
        clock=clock,
        installation=Installation.open(FOLDER / "system", Ports.free()),
        say=say,
    )
    outcomes = rehearsal.run()
    if options.output is not None:
        options.output.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    print(f"\nCertificates of {options.day}:")
    for each in outcomes:
        print(f"  {each}")
    return int(not all(each.is_good for each in outcomes))


def _begin(arguments: Sequence[str]) -> int:
    """Run this program again, with a clock that is its own."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o711)
    try:
        clock = Clock.make(FOLDER)
    except NoCompiler as error:
        print(error, file=sys.stderr)
        return 1
    command = ("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "devtools.scenario.date_rehearsal", *arguments)
    status = subprocess.run(command, env={**os.environ, **clock.environment, "TZ": "UTC"}, check=False).returncode
    if status == 0:
        shutil.rmtree(FOLDER, ignore_errors=True)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rehearsal of a day. Returns 1 if an order is refused, or a certificate is faulty."""
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("day", type=date.fromisoformat, help="the day on which rules change, YYYY-MM-DD")
    parser.add_argument(
        "--proof-age", type=int, default=0, help="days before, on which domains of the first orders are proved"
    )
    parser.add_argument(
        "--remotes", type=int, default=ALL_REMOTES, help="remote perspectives until the first second of the day"
    )
    parser.add_argument("--output", type=Path, help="file for all that was seen, as JSON")
    clock = Clock.of_this_process()
    if clock is None:
        parser.parse_args(arguments)
        return _begin(sys.argv[1:] if arguments is None else arguments)
    return _rehearse(parser.parse_args(arguments), clock)


if __name__ == "__main__":
    sys.exit(main())
