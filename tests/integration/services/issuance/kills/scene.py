"""One database on which processes are killed at each point, one order for each, and then all start again."""

from dataclasses import dataclass, field
from typing import Final

import psycopg
import requests

from deploy.local.waiting import TookTooLong, is_taken
from services.issuance import domain_control, domain_store, revocation
from services.issuance.ca.crl import RevocationReason
from services.issuance.csr_intake import SubmitCSR
from services.issuance.dcv import methods
from shared.pki.observations import Kind, Question
from shared.tx import utc_now
from shared.vocabulary import SubscriberId
from tests.integration.services.issuance.kills.points import (
    BLOCKED,
    DOMAINS,
    INTAKE,
    OF_ORDERS,
    POINTS,
    REVOKING,
    SHORT_OF_SCTS,
    WAITING,
    Point,
)
from tests.integration.services.issuance.kills.processes import Processes, is_killed
from tests.integration.services.issuance.world import Renewal, World
from tests.support.engines import Database, wait_until

# Where a lease ends: orders, intents and domains that are due.
_LEASED: Final = ("orders", "intents", "domain_controls")
_LIMIT: Final = 60.0


@dataclass(kw_only=True)
class Scene:
    """The database with its world, the processes, and the renewal of each point."""

    world: World
    database: Database
    processes: Processes
    port: int
    renewals: dict[str, Renewal] = field(default_factory=dict)
    submissions: dict[str, tuple[SubmitCSR, Renewal]] = field(default_factory=dict)

    def kill_at_each_point(self) -> list[str]:
        """Kill a process at each point. Returns the points that none of them reached."""
        missed = []
        for point in POINTS:
            self._due("now() + interval '1 hour'")  # leases and waits of the orders before: only this one is due
            self.world.now = utc_now()
            if point in OF_ORDERS:
                self._prepare(point)
            arguments = [point.process]
            if point in REVOKING:
                arguments += [self._a_serial(), "--reason", "superseded", "--actor", "operator"]
            down = set([*self.world.transparency.logs][1:]) if point.name == SHORT_OF_SCTS else set()
            self.world.transparency.down = down
            process = self.processes.killed_at(point, arguments, self.world.zone)
            if point in INTAKE:
                self._submit_in_vain(*self.submissions[point.name])
            if not is_killed(process):
                missed.append(point.name)
            if point in BLOCKED:
                self._block_key(self.renewals[point.name])
        self.world.transparency.sound()
        return missed

    def recover(self) -> None:
        """Start all processes again, as after a crash, when all leases have ended; wait until nothing is left to do."""
        self._due("now()")
        self._show_values()
        with self.processes.running("web", "validate", "work", "relay", zone=self.world.zone):
            assert [self._submit(*each) for each in self.submissions.values()] == [200] * len(INTAKE)
            try:
                wait_until(lambda: not self._unfinished(), limit=_LIMIT, what="every order is issued", every=0.1)
            except TookTooLong as error:
                error.add_note(f"still open: {self._unfinished()}")
                raise
            self._revoke_all()
            wait_until(self._nothing_is_left, limit=_LIMIT, what="all is on the CRL and relayed", every=0.1)

    def _unfinished(self) -> list[tuple[str, str]]:
        rows = self.world.rows("SELECT renewal_id, state FROM orders WHERE state NOT IN ('issued', 'refused')")
        names = {renewal.renewal_id: name for name, renewal in self.renewals.items()}
        return [(names[renewal_id], state) for renewal_id, state in rows]

    def _nothing_is_left(self) -> bool:
        unlisted = self.world.rows(
            """SELECT 1 FROM certificates WHERE revoked_at IS NULL OR listed_in IS NULL
               UNION ALL SELECT 1 FROM stray_certificates WHERE revoked_at IS NULL OR listed_in IS NULL"""
        )
        unsigned = self.world.rows("SELECT 1 FROM crls WHERE der IS NULL")
        return not unlisted and not unsigned and not self.world.rows("SELECT 1 FROM outbox WHERE sent_at IS NULL")

    def _revoke_all(self) -> None:
        self.world.now = utc_now()
        for (serial,) in self.world.rows("SELECT serial FROM intents ORDER BY serial"):
            with self.world.begin() as tx:
                revocation.revoke_serial(tx, serial, RevocationReason.SUPERSEDED, "operator")

    def _block_key(self, renewal: Renewal) -> None:
        query = "SELECT spki_sha256 FROM orders WHERE item_id = %s"
        ((spki_sha256,),) = self.world.rows(query, renewal.items[0].item_id)
        with self.world.begin() as tx:
            revocation.block_key(tx, bytes(spki_sha256), source="reported", actor="operator")

    def _prepare(self, point: Point) -> None:
        """Open a renewal whose next step is the point's."""
        number = len(self.renewals)
        name = f"host-{number}.example.hk"
        is_proved = point not in (*WAITING, *DOMAINS)
        renewal = self.world.opened([name], proved=is_proved, subscriber_id=f"SUB-{number}")
        self.renewals[point.name] = renewal
        if point in INTAKE:
            self.submissions[point.name] = (self.world.submission(renewal), renewal)
        else:
            self.world.submit(renewal)
        if point in DOMAINS:
            with self.world.begin() as tx:
                domain_control.ask_checks(tx, SubscriberId(renewal.subscriber_id), [name])
            self._show_values()

    def _show_values(self) -> None:
        """Have the zone show every random value."""
        for subscriber_id, domain in self.world.rows("SELECT subscriber_id, domain FROM domain_controls"):
            with self.world.begin() as tx:
                (control,) = domain_store.find_controls(tx.conn, subscriber_id, [domain]).values()
            question = Question(Kind.TXT, methods.record_name(domain))
            self.world.zone.records[question] = (control.random_value,)

    def _due(self, moment: str) -> None:
        with psycopg.connect(self.database.superuser_url) as conn:
            for table in _LEASED:
                conn.execute(f"UPDATE {table} SET due_at = {moment} WHERE due_at IS NOT NULL".encode())

    def _a_serial(self) -> str:
        ((serial,),) = self.world.rows("SELECT serial FROM certificates LIMIT 1")
        return str(serial)

    def _submit_in_vain(self, command: SubmitCSR, renewal: Renewal) -> None:
        try:
            status = self._submit(command, renewal)
        except requests.ConnectionError:
            return
        raise AssertionError(f"answered {status} by a process that should be dead")

    def _submit(self, command: SubmitCSR, renewal: Renewal) -> int:
        """Submit the CSR over HTTP. Returns the status."""
        wait_until(lambda: is_taken(self.port), limit=_LIMIT, what="the web process listens")
        url = f"http://127.0.0.1:{self.port}/issuance/v1/orders/{command.item_id}/csr"
        body = {"reference": command.reference, "pins": dict(command.pins), "csr": command.csr}
        self.world.now = utc_now()
        return requests.post(url, json=body, headers=self.world.headers(renewal), timeout=_LIMIT).status_code
