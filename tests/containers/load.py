"""Load of clients that accept no error: ARs, a visitor, a clerk at the desk, a reader of the feed."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Final

from backoffice.kit.client import FeedClient
from deploy.gateway.rules import BACK_OFFICE_HOST, DESK_HOST, PORTAL_HOST
from deploy.local import samples, stack
from devtools.scenario.clerk import import_subscriptions
from devtools.scenario.gateway_client import Gateway
from devtools.scenario.postbox import Postbox
from devtools.scenario.target import Target
from shared.web.https_client import Endpoint
from tests.containers.pods import Pods

ARS: Final = 6
MAX_RENEWALS: Final = 400
# A page, then the next over the same connection; then as a new visitor.
SECONDS_A_PAGE: Final = 0.1
PAGES_A_CONNECTION: Final = 10
LONG_POLL_SECONDS: Final = 10


@dataclass
class Done:
    """Results of the load: renewals completed, pages seen, the feed's positions in the order in which they came."""

    renewals: list[str] = field(default_factory=list)
    pages: int = 0
    positions: list[int] = field(default_factory=list)


class Load:
    """Run renewals, pages and long polls until it is stopped."""

    def __init__(self, pods: Pods) -> None:
        self.target = Target(installation=pods.installation)
        self.done = Done()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting = iter(samples.many(MAX_RENEWALS))
        self._folder = pods.folder / "ars"
        self._postbox = Postbox(folder=pods.installation.posting)
        import_subscriptions(pods.installation, samples.many(MAX_RENEWALS))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all at once until the block ends; then each completes what it began. Raises what any of them met."""
        each: Sequence[Callable[[], None]] = (*[self._renew] * ARS, self._visit, self._look_up, self._read_feed)
        with ThreadPoolExecutor(len(each)) as crowd:
            futures: list[Future[None]] = [crowd.submit(one) for one in each]
            try:
                yield
            finally:
                self._stop.set()
        for future in futures:
            future.result()

    def _renew(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                srn = next(self._waiting).srn
            journey = self.target.journey([srn], self._folder / srn, postbox=self._postbox)
            journey.every = 0.2
            journey.apply()
            journey.receive_letters()
            journey.fulfil()
            journey.ar.close()
            self.done.renewals.append(journey.id)

    def _visit(self) -> None:
        self._look(PORTAL_HOST, ["/en/"])

    def _look_up(self) -> None:
        self._look(DESK_HOST, ["/", *(f"/held/{service}" for service in stack.CONSUMING)], "yip-hoi-ching")

    def _look(self, host: str, pages: Sequence[str], member: str | None = None) -> None:
        installation, staff = self.target.installation, self.target.installation.pki.staff
        gateway = Gateway(port=installation.ports.gateway, ca_file=installation.pki.gateway / "root.pem")
        shown = {} if member is None else {"certificate": staff / f"{member}.pem", "key": staff / f"{member}.key"}
        while not self._stop.is_set():
            connection = gateway.connect(host, **shown)
            for page in islice(cycle(pages), PAGES_A_CONNECTION):
                answer = connection.request("GET", page)
                assert answer.status == 200, answer
                self.done.pages += 1
                time.sleep(SECONDS_A_PAGE)
            connection.close()

    def _read_feed(self) -> None:
        installation, folder = self.target.installation, self.target.installation.pki.back_office
        endpoint = Endpoint(
            url=f"https://{BACK_OFFICE_HOST}:{installation.ports.gateway}",
            certificate=folder / "backoffice.pem",
            key=folder / "backoffice.key",
            ca_file=installation.pki.gateway / "root.pem",
            address=("127.0.0.1", installation.ports.gateway),
        )
        client = FeedClient(endpoint)
        after = 0
        while not self._stop.is_set():
            page = client.page(after, limit=100, wait=LONG_POLL_SECONDS)
            self.done.positions += [each.position for each in page.events if each.position is not None]
            after = page.last or after
        client.close()
