"""`make demo`: an AR renews a standard, a wildcard and a multi-domain certificate by public interfaces only."""

import argparse
import base64
import json
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.certificate_transparency import SignedCertificateTimestamp

from deploy.local import samples
from deploy.local.ct.logs import LOG_LIST
from deploy.local.installation import DEFAULT_FOLDER
from deploy.local.run import EXPECTED, Progress, said
from devtools.scenario.ar import AR
from devtools.scenario.clerk import import_subscriptions, post_batch
from devtools.scenario.gateway_client import TimedOut, wait_for
from devtools.scenario.journey import Journey, Leg
from devtools.scenario.target import Target, find_or_start
from services.issuance.ca.lint import pkilint_findings
from shared.web.https_client import APIProblem, APIUnavailable

# Steps on the AR's own computer count as the AR's time, not the system's.
_BY_HAND: Final = ("keys and CSRs made", "batch taken to the post")
MIB: Final = 1024 * 1024


def main() -> None:
    """Run the demo; exit status 1 unless every certificate verifies."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="state folder of the running system")
    options = parser.parse_args()
    try:
        with find_or_start(options.folder.resolve(), Progress()) as target:
            good = demonstrate(target)
    except EXPECTED as error:
        raise SystemExit(f"\n{said(error, options.folder)}") from None
    except (APIProblem, APIUnavailable, TimedOut) as error:
        raise SystemExit(f"\nThe renewal got stuck: {error} (logs: {options.folder.resolve() / 'logs'})") from None
    except KeyboardInterrupt:
        raise SystemExit(
            "\nStopped. A renewal that was begun stays open: the next demo takes other certificates"
        ) from None
    raise SystemExit(0 if good else 1)


def demonstrate(target: Target) -> bool:
    """Run one renewal of three items, and print its steps. Returns whether all certificates verify."""
    folder = target.installation.folder / "demo" / time.strftime("%Y%m%d-%H%M%S")
    journey = target.journey([], folder)
    journey.ar.sign_in()
    journey.srns = renewable(target, journey.ar)
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
    _print_evidence(journey, target)
    print(f"\nAll processes together: {target.memory_bytes() / MIB:.0f} MiB (sum of PSS)")
    print(f"Keys, CSRs and certificates: {folder}")
    journey.ar.close()
    return all(verdict == "OK" for verdict in verdicts.values()) and not any(findings.values())


def _print_evidence(journey: Journey, target: Target) -> None:
    """Print what each certificate rests on: proof of control and CAA of each name, and the logs that hold it."""
    logs = json.loads((target.installation.transparency / LOG_LIST).read_text("utf-8"))
    named = {
        log["log_id"]: f"{log['description']} ({operator['name']})"
        for operator in logs["operators"]
        for log in (*operator["logs"], *operator.get("tiled_logs", ()))
    }
    print("\nWhat each certificate rests on:")
    for order in journey.orders:
        print(f"  {order.reference}")
        for domain in journey.ar.domains(order.server_names):
            seen = next(each for each in domain["seen"] if each["kind"] == "caa")
            caa = "no CAA record" if seen["outcome"] == "absent" else f"CAA {', '.join(seen['values'])}"
            proved = f"proved {domain['proved_at'][:19]}Z, seen by {domain['quorum']} remote perspectives"
            print(f"    {domain['domain']:36} {proved}; {caa}, {domain['checked_at'][:19]}Z")
        for each in _scts(journey.certificates[order.reference]):
            log = named.get(base64.b64encode(each.log_id).decode(), each.log_id.hex())
            print(f"    SCT of {each.timestamp:%Y-%m-%dT%H:%M:%SZ} {log}")


def _scts(chain: Path) -> list[SignedCertificateTimestamp]:
    certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    extension = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    return [*extension.value]


def renewable(target: Target, ar: AR) -> list[str]:
    """Return the SRNs of one certificate of each product that the AR can renew now; imports new
    ones if there are none.
    """
    why_not = {each["srn"]: each["reason"] for each in ar.subscriptions()}
    trios = map(samples.trio, count())
    trio = next(trio for trio in trios if not any(why_not.get(each.srn) for each in trio))
    srns = [each.srn for each in trio]
    if reasons := {reason for each in samples.trio(0) if (reason := why_not.get(each.srn))}:
        print(f"The first sample certificates cannot be renewed now ({', '.join(sorted(reasons))}): others are taken")
    if not why_not.keys() >= set(srns):
        import_subscriptions(target.installation, trio)
    return srns


def _lint(chain: Path) -> list[str]:
    """Return pkilint's findings at NOTICE or worse in the first certificate of a chain."""
    certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    return [str(finding) for finding in pkilint_findings(certificate.public_bytes(Encoding.DER))]


def _post(journey: Journey, target: Target, folder: Path) -> None:
    """Post the batch, as the clerk does; by then the AR has the letters already."""
    started = time.monotonic()
    batches = {letter.file.parent for letter in journey.letters}
    for batch in sorted(batches):
        manifest = batch / "manifest.csv"
        wait_for("the batch to be closed", partial(_existing, manifest))
        post_batch(
            manifest,
            target.mailing_environment(),
            first_serial=time.time_ns() // 10_000_000 % 90_000_000,
            work_folder=folder,
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
