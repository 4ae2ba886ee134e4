"""`make reconcile`: compares the services of this machine with each other, the payment sandbox and the mail catcher."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import urllib3

from backoffice.reconciliation.loading import write_records
from deploy.local import stack
from deploy.local.installation import DEFAULT_FOLDER, Installation
from deploy.postgres.roles import DESK, SERVICES, package

GRACE_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """A comparison. `overrides` are settings of single services, such as the address of a restored database."""

    installation: Installation
    grace: float = GRACE_SECONDS
    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the newest extracts and records."""
        return self.installation.folder / "reconciliation"

    def run(self) -> subprocess.CompletedProcess[str]:
        """Take all records and compare them: the provider's and the mail server's first, the topics' last."""
        self._keep_earlier()
        now = datetime.now(UTC)
        write_records(self.folder / "provider.jsonl", "effect", _effects(self.installation), now=now)
        write_records(self.folder / "mail.jsonl", "delivery", _deliveries(self.installation), now=now)
        for service in SERVICES:
            output = self.folder / f"{service}.jsonl"
            export = ["export", "--actor", "reconcile", "--output", str(output)]
            self._python(f"{package(service)}.main", export, service).check_returncode()
        topics = ["topics", "--output", str(self.folder / "topics.jsonl")]
        self._python("backoffice.reconciliation.main", topics, DESK).check_returncode()
        return self._python("backoffice.reconciliation.main", self._comparing(), DESK)

    def _comparing(self) -> list[str]:
        signing = self.installation.pki.signing
        options = ["compare", "--extracts", str(self.folder), "--keys", str(signing), "--grace", str(self.grace)]
        for name in ("provider", "mail", "topics"):
            options += [f"--{name}", str(self.folder / f"{name}.jsonl")]
        return [*options, "--earlier", str(self._earlier)]

    @property
    def _earlier(self) -> Path:
        return self.folder / "earlier"

    def _keep_earlier(self) -> None:
        self._earlier.mkdir(parents=True, exist_ok=True)
        for service in SERVICES:
            extract = self.folder / f"{service}.jsonl"
            if extract.exists():
                extract.replace(self._earlier / extract.name)

    def _python(self, module: str, arguments: Sequence[str], service: str) -> subprocess.CompletedProcess[str]:
        environment = stack.service_environment(self.installation, service, stack.outside())
        environment |= self.overrides.get(service, {})
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode and done.stderr:
            print(done.stderr, file=sys.stderr, flush=True)
        return done


def _effects(installation: Installation) -> Iterator[dict[str, Any]]:
    """Yield the captures and refunds of the payment sandbox."""
    environment = stack.sandbox_environment(installation)
    headers = {"Authorization": f"Bearer {environment['SANDBOX_API_KEY']}"}
    for effect in _json(installation.ports.sandbox, "/admin/effects", headers)["data"]:
        if effect["kind"] in {"capture", "refund"}:
            yield {name: effect[name] for name in ("kind", "reference", "amount_minor")}


def _deliveries(installation: Installation) -> Iterator[dict[str, Any]]:
    """Yield the e-mails in the mail catcher."""
    mails: Iterable[Mapping[str, Any]] = _json(installation.ports.mailbox, "/api/email", {})
    return ({"message_id": mail["message_id"]} for mail in mails)


def _json(port: int, path: str, headers: Mapping[str, str]) -> Any:
    with urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False, timeout=30) as pool:
        answer = pool.request("GET", path, headers=dict(headers))
    if answer.status != 200:
        raise RuntimeError(f"port {port} answered {answer.status}")
    return json.loads(answer.data)


def main() -> None:
    """Reconcile the running system. Exit status 1 for a divergence."""
    parser = argparse.ArgumentParser(prog="make reconcile", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument(
        "--grace",
        type=float,
        default=GRACE_SECONDS,
        metavar="SECONDS",
        help="age below which a step may still be running",
    )
    options = parser.parse_args()
    done = Reconciliation(installation=Installation.that_runs(options.folder), grace=options.grace).run()
    print(done.stdout, end="")
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
