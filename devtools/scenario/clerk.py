"""The CA's clerk: imports subscriptions from the register, and posts batches of letters."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.local import bring_up, samples, stack
from deploy.local.installation import Installation

_WEIGHTS: Final = (8, 6, 4, 2, 3, 5, 9, 7)


def registered_number(serial: int) -> str:
    """Return a registered number with its check digit (UPU S10)."""
    digits = f"{serial:08d}"
    check = 11 - sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=True)) % 11
    return f"RA{digits}{ {10: 0, 11: 5}.get(check, check) }HK"


def post_batch(manifest: Path, environment: Mapping[str, str], *, first_serial: int, work_folder: Path) -> str:
    """Fill in a copy of a closed batch's manifest and pass it to mailing's command. Returns the command's output."""
    rows = list(csv.DictReader(io.StringIO(manifest.read_text("utf-8-sig"))))
    for serial, row in enumerate(rows, start=first_serial):
        row["registered_number"] = registered_number(serial)
    filled = work_folder / f"{manifest.parent.name}.csv"
    with filled.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    command = [sys.executable, "-m", "services.mailing.main", "posted", manifest.parent.name]
    done = subprocess.run(
        [*command, "--manifest", str(filled), "--actor", "demo-clerk"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr or done.stdout)
    return done.stdout.strip()


def import_subscriptions(installation: Installation, subscriptions: Iterable[samples.SampleSubscription]) -> None:
    """Import the subscriptions by application's command. Raises StepFailed."""
    file = installation.folder / "samples" / "more.json"
    content = samples.subscriptions(installation.pki, subscriptions, datetime.now(UTC))
    file.write_text(json.dumps(content), "utf-8")
    environment = stack.service_environment(installation, "application", stack.outside())
    bring_up.command("application", "import", environment, str(file), "--actor", "demo-clerk")
