"""`make demo`: an AR renews a standard, a wildcard and a multi-domain certificate by public means only."""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.demo.clerk import post_batch
from deploy.demo.journey import Journey, Leg
from deploy.demo.public import wait_for
from deploy.demo.target import Target, find_or_start
from deploy.local.installation import DEFAULT_FOLDER, Installation
from services.issuance.lint import pkilint_findings

SRNS: Final = ("0002310001", "0002310002", "0002310003")
# What the AR's own computer does counts as the AR's time, not the system's.
_BY_HAND: Final = ("keys and CSRs made", "batch taken to the post")
MIB: Final = 1024 * 1024


def main() -> None:
    """Run the demo; exit status 1 unless every certificate verifies."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="state folder of the running system")
    options = parser.parse_args()
    with find_or_start(Installation.open(options.folder)) as target:
        good = demonstrate(target)
    raise SystemExit(0 if good else 1)


def demonstrate(target: Target) -> bool:
    """One renewal of three items, printed as it goes; whether all verified."""
    folder = target.installation.folder / "demo" / time.strftime("%Y%m%d-%H%M%S")
    journey = target.journey(list(SRNS), folder)
    started = time.monotonic()
    journey.apply()
    journey.receive()
    _post(journey, target, folder)
    journey.fulfil()
    journey.accept()
    seconds = time.monotonic() - started
    _print_legs(journey.legs)
    by_hand = sum(leg.seconds for leg in journey.legs if leg.name.startswith(_BY_HAND))
    print(f"{seconds - by_hand:8.2f} s  the machine's part of {seconds:.2f} s in all")
    verdicts = journey.verify(target.root)
    print("\nopenssl verify, pkilint:")
    findings = {reference: _lint(chain) for reference, chain in journey.certificates.items()}
    for order in journey.orders:
        found = "; ".join(findings[order.reference]) or "no finding"
        print(f"  {order.reference}  {verdicts[order.reference]}, {found:12}  {', '.join(order.server_names)}")
    print(f"\nAll processes together: {target.memory_bytes() / MIB:.0f} MiB (sum of PSS)")
    print(f"Keys, CSRs and certificates: {folder}")
    journey.ar.close()
    return all(verdict == "OK" for verdict in verdicts.values()) and not any(findings.values())


def _lint(chain: Path) -> list[str]:
    """pkilint's findings at NOTICE or worse in the first certificate of a chain."""
    certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    return [str(finding) for finding in pkilint_findings(certificate.public_bytes(Encoding.DER))]


def _post(journey: Journey, target: Target, folder: Path) -> None:
    """The clerk's part; the AR has the letters in hand by then anyway."""
    started = time.monotonic()
    batches = {letter.file.parent for letter in journey.letters}
    for batch in sorted(batches):
        manifest = batch / "manifest.csv"
        wait_for("the batch to be closed", partial(_existing, manifest))
        post_batch(
            manifest, target.mailing_environment(), first_serial=int(time.time()) % 90_000_000, work_folder=folder
        )
    journey.legs.append(Leg("batch taken to the post, registered", time.monotonic() - started, f"{len(batches)} batch"))


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _print_legs(legs: list[Leg]) -> None:
    print("\nThe renewal, leg by leg:")
    for leg in legs:
        print(f"{leg.seconds:8.2f} s  {leg.name:45} {leg.detail}")


if __name__ == "__main__":
    main()
