"""The tests' own DNS: knot with all zones, strange servers, and unbound that validates from the zones' own root."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdataset
import dns.zone
from dns.rdatatype import RdataType

from deploy.local.waiting import free_ports, wait_until
from shared.settings import Address
from tests.integration.perspective.strange import BEHAVIOURS, strange_server
from tests.integration.perspective.zones import DS, Signed, Zone, origin_of

PROGRAMS: Final = ("knotd", "kzonesign", "unbound")
MISSING: Final = (
    "unbound or knot is not installed, and only root can install them: apt-get install unbound knot knot-dnssecutils"
)
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"

_KNOT: Final = """server:
  listen: 127.0.0.1@{port}
  rundir: {folder}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: {folder}
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: {folder}
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
policy:
  - id: nsec3
    single-type-signing: on
    nsec3: on
    nsec3-iterations: 0
  - id: opt-out
    single-type-signing: on
    nsec3: on
    nsec3-iterations: 0
    nsec3-opt-out: on
zone:
{zones}"""

_UNBOUND: Final = """server:
  interface: 127.0.0.1
  port: {port}
  do-ip6: no
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  num-threads: 1
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor: "{anchor}"
  edns-buffer-size: 1232
  minimal-responses: yes
remote-control:
  control-enable: no
"""


def are_installed() -> bool:
    """Return whether the servers are installed."""
    return all(_program(name) for name in PROGRAMS)


def _program(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


@dataclass(frozen=True)
class DNS:
    """Running servers: the resolver and the authoritative server behind it."""

    resolver: Address
    authority: Address


@contextlib.contextmanager
def running_dns(zones: Sequence[Zone]) -> Iterator[DNS]:
    """Serve these zones and the root, and resolve them, until the block ends. Every parent of a zone is among them."""
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="dns-")))
        knot_port, unbound_port = free_ports(2)
        strange = {
            name: running.enter_context(strange_server(behaviour))
            for name, behaviour in BEHAVIOURS.items()
            if name in {zone.server for zone in zones}
        }
        anchor = _write_zones(zones, folder)
        served = [zone.origin for zone in zones if zone.server is None]
        (folder / "knot.conf").write_text(_knot_conf(served, folder, knot_port))
        ports = {zone.origin: strange[zone.server] if zone.server else knot_port for zone in zones}
        (folder / "unbound.conf").write_text(_unbound_conf(ports, anchor, folder, unbound_port))
        running.enter_context(_process("knotd", "-c", str(folder / "knot.conf")))
        running.enter_context(_process("unbound", "-d", "-c", str(folder / "unbound.conf")))
        dns_ = DNS(resolver=("127.0.0.1", unbound_port), authority=("127.0.0.1", knot_port))
        wait_until(lambda: _answers(dns_.authority) and _answers(dns_.resolver), limit=60, what="DNS of the tests")
        yield dns_


def _knot_conf(origins: Sequence[str], folder: Path, port: int) -> str:
    listed = "".join(f"  - domain: {origin}\n    file: {_file(origin)}\n" for origin in origins)
    return _KNOT.format(port=port, folder=folder, zones=listed)


def _unbound_conf(ports: Mapping[str, int], anchor: str, folder: Path, port: int) -> str:
    stubs = "".join(
        f'stub-zone:\n  name: "{origin}"\n  stub-addr: 127.0.0.1@{at}\n' for origin, at in sorted(ports.items())
    )
    return _UNBOUND.format(port=port, folder=folder, anchor=anchor) + stubs


@contextlib.contextmanager
def _process(name: str, *arguments: str) -> Iterator[None]:
    program = _program(name)
    assert program is not None
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([program, *arguments], stdout=said, stderr=said)
        try:
            yield
            assert process.poll() is None, f"{name} has ended"
        finally:
            process.terminate()
            process.wait(20)


def _answers(server: Address) -> bool:
    query = dns.message.make_query("hk.", "SOA")
    try:
        reply = dns.query.udp(query, server[0], timeout=0.3, port=server[1])
    except (OSError, dns.exception.DNSException):
        return False
    return bool(reply.answer)


def _write_zones(zones: Sequence[Zone], folder: Path) -> str:
    """Write all zones, children first, since a parent has their DS records. Returns the root's DS as a trust anchor."""
    delegated: dict[str, list[DS]] = {}
    anchor = ""
    for zone in sorted(zones, key=lambda zone: -len(dns.name.from_text(zone.origin))):
        if zone.server is not None:
            delegated[zone.origin] = []
            continue
        signed = zone.signing(_with_children(zone, zones, delegated))
        (folder / _file(zone.origin)).write_text(signed.zone.to_text(relativize=False, nl="\n"))
        delegated[zone.origin] = [*signed.ds]
        if zone.origin == ".":
            anchor = f". IN DS {signed.ds[0].to_text()}"
    assert anchor, "no root zone"
    return anchor


def _with_children(zone: Zone, zones: Sequence[Zone], delegated: Mapping[str, Sequence[DS]]) -> dns.zone.Zone:
    """Return a zone with delegations to the zones directly below it."""
    parsed, at = zone.parsed(), dns.name.from_text(zone.origin)
    origins = {dns.name.from_text(each.origin) for each in zones}
    for child in delegated:
        name = dns.name.from_text(child)
        parents = [each for each in origins if name != each and name.is_subdomain(each)]
        if max(parents, key=len) != at:
            continue
        parsed.replace_rdataset(name, dns.rdataset.from_text("IN", "NS", 300, f"ns.{child}"))
        if delegated[child]:
            parsed.replace_rdataset(name, dns.rdataset.from_rdata_list(300, delegated[child]))
    return parsed


def _file(origin: str) -> str:
    return f"{origin.strip('.') or 'root'}.zone"


def nsec3(zone: dns.zone.Zone) -> Signed:
    """Sign by knot, with NSEC3."""
    return _signed_by_knot(zone, "nsec3")


def opt_out(zone: dns.zone.Zone) -> Signed:
    """Sign by knot, with NSEC3 and opt-out."""
    return _signed_by_knot(zone, "opt-out")


def _signed_by_knot(zone: dns.zone.Zone, policy: str) -> Signed:
    origin = origin_of(zone).to_text()
    with tempfile.TemporaryDirectory(prefix="zone-") as name:
        folder = Path(name)
        (folder / _file(origin)).write_text(zone.to_text(relativize=False, nl="\n"))
        conf = _knot_conf([origin], folder, 1) + f"    dnssec-signing: on\n    dnssec-policy: {policy}\n"
        (folder / "knot.conf").write_text(conf)
        (folder / "signed").mkdir()
        program = _program("kzonesign")
        assert program is not None
        command = [program, "-c", str(folder / "knot.conf"), "-o", str(folder / "signed"), origin]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (file,) = (folder / "signed").iterdir()
        signed = dns.zone.from_file(str(file), origin=origin, relativize=False)
    keys = signed.find_rdataset(origin_of(signed), RdataType.DNSKEY)
    return Signed(signed, [dns.dnssec.make_ds(origin, key, "SHA256") for key in keys])
