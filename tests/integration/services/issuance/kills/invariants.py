"""Statements that hold of a database, its logs, topic and key, wherever its processes were killed."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from cryptography import x509
from kafka import KafkaConsumer, TopicPartition

from deploy.kafka.topics import PARTITIONS
from deploy.local import kafka as local_kafka
from services.issuance.ca import profiles
from services.issuance.ct.entries import decode_tile
from shared.events.base import Topic
from tests.integration.services.issuance.kills.points import BLOCKED
from tests.integration.services.issuance.kills.scene import Scene
from tests.support.engines import Kafka

_BLOCKED = {point.name for point in BLOCKED}
_PER_ORDER = ("csr-received", "intent-made", "precertificate-signed", "certificate-issued", "certificate-revoked")
# Kind and number of what was signed, and its bytes.
Signed = tuple[tuple[str, int], bytes]


def broken(scene: Scene, kafka: Kafka) -> list[str]:
    """Return what does not hold; each line names the point of its order, if it is of one."""
    signed = _signed(scene)
    found = [
        *_of_orders(scene),
        *_of_blocked(scene),
        *_of_signatures(scene, signed),
        *_of_logs(scene),
        *_of_crls(scene, signed),
    ]
    return [*found, *_of_events(scene, _relayed(kafka))]


def _of_blocked(scene: Scene) -> Iterator[str]:
    """Yield orders whose key was blocked, and that are not refused without a certificate."""
    query = """SELECT o.state, i.state, c.serial FROM orders AS o JOIN intents AS i USING (item_id)
               LEFT JOIN certificates AS c USING (item_id) WHERE item_id = %s"""
    for name in _BLOCKED:
        found = scene.world.rows(query, scene.renewals[name].items[0].item_id)
        if found != [("refused", "tombstone", None)]:
            yield f"{name}: {found}"


def _of_orders(scene: Scene) -> Iterator[str]:
    """Yield other orders without exactly one certificate, one spent PIN and one record of each step."""
    for name, renewal in scene.renewals.items():
        if name in _BLOCKED:
            continue
        (item,) = renewal.items
        certificates = scene.world.rows("SELECT serial FROM certificates WHERE item_id = %s", item.item_id)
        intents = scene.world.rows("SELECT serial FROM intents WHERE item_id = %s AND state = 'signed'", item.item_id)
        if len(certificates) != 1 or certificates != intents:
            yield f"{name}: certificates {certificates}, intents {intents}"
        pins = scene.world.rows("SELECT state, tries <= 1 FROM pins WHERE item_id = %s", item.item_id)
        if pins != [("spent", True)]:
            yield f"{name}: PINs {pins}"
        serials = [serial for (serial,) in certificates]
        actions = Counter(each for subject in (str(item.item_id), *serials) for each in scene.world.audited(subject))
        if wrong := {action: actions[action] for action in _PER_ORDER if actions[action] != 1}:
            yield f"{name}: audited {wrong}"


def _of_signatures(scene: Scene, signed: Sequence[Signed]) -> Iterator[str]:
    """Yield signatures of the key that the database does not have, or that share kind and number with another.

    Of an ended intent the signature may be lost, if its bytes are known.
    """
    stored = """SELECT precertificate FROM intents WHERE precertificate IS NOT NULL
                UNION SELECT der FROM certificates UNION SELECT der FROM crls"""
    known = {bytes(der) for (der,) in scene.world.rows(stored)}
    ended = "SELECT unnest(ARRAY[tbs, certificate_tbs]) FROM intents WHERE state = 'tombstone'"
    lost = {bytes(tbs) for (tbs,) in scene.world.rows(ended) if tbs is not None}
    kinds: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    for kind, der in signed:
        kinds[kind].add(der)
        if der not in known and profiles.tbs_of(der) not in lost:
            yield f"signed and unknown: {kind}"
    yield from (f"signed {len(ders)} times: {kind}" for kind, ders in kinds.items() if len(ders) > 1)
    if Counter(kind for kind, _ in kinds)["precertificate"] != len(scene.renewals):
        yield "precertificates signed: not one for each order"


def _signed(scene: Scene) -> list[Signed]:
    """Return all that the key has signed in any process, stored or not."""
    algorithm = scene.world.issuer.signer.algorithm
    ders = [profiles.assemble(tbs, algorithm, signature) for tbs, signature in scene.processes.signed()]
    return [(_kind(der), der) for der in ders]


def _kind(der: bytes) -> tuple[str, int]:
    """Return what the key has signed, and its number."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except ValueError:
        crl = x509.load_der_x509_crl(der)
        return "CRL", crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    poisoned = any(isinstance(each.value, x509.PrecertPoison) for each in certificate.extensions)
    return "precertificate" if poisoned else "certificate", certificate.serial_number


def _of_logs(scene: Scene) -> Iterator[str]:
    """Yield differences between the logs and the stored precertificates, and what `watch-ct` finds."""
    query = "SELECT precertificate FROM intents WHERE precertificate IS NOT NULL"
    stored = {bytes(der) for (der,) in scene.world.rows(query)}
    entries = [each.tile_entry for log in scene.world.transparency.logs.values() for each in log.entries(0, 2**30)]
    logged = {entry.der for entry in decode_tile(b"".join(entries))}
    if logged != stored:
        yield f"logged {len(logged)} precertificates, stored {len(stored)}, both {len(logged & stored)}"
    if scene.processes.run("watch-ct", "--actor", "operator") != 0:
        yield "watch-ct found an unknown certificate, or a fault of a log"


def _of_crls(scene: Scene, signed: Sequence[Signed]) -> Iterator[str]:
    """Yield numbers that do not rise with the times, and signed serial numbers that are not on the newest CRL."""
    rows = scene.world.rows("SELECT number, der FROM crls ORDER BY this_update, number")
    crls = [x509.load_der_x509_crl(bytes(der)) for _, der in rows]
    numbers = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in crls]
    if numbers != [number for number, _ in rows] or numbers != sorted(set(numbers)):
        yield f"numbers of CRLs: {numbers}"
    for kind, serial in {each for each, _ in signed}:
        if kind != "CRL" and crls[-1].get_revoked_certificate_by_serial_number(serial) is None:
            yield f"not on the newest CRL: {kind} {serial:x}"


def _of_events(scene: Scene, relayed: Sequence[dict[str, str]]) -> Iterator[str]:
    """Yield differences between Kafka and the outbox, holes in the feed, and events that came twice under two ids."""
    positions = scene.world.rows("SELECT position FROM outbox WHERE topic = 'issuance.events' ORDER BY position")
    if positions != [(number,) for number in range(1, len(positions) + 1)]:
        yield f"positions in the feed: {positions}"
    keys = {str(renewal.renewal_id): name for name, renewal in scene.renewals.items()}
    distinct = {(each["key"], each["ce_sequence"], each["ce_id"], each["ce_type"]) for each in relayed}
    for key, name in keys.items():
        rows = scene.world.rows(
            """SELECT sequence, event_id, type FROM outbox WHERE key = %s AND topic = 'issuance.events'
               ORDER BY sequence""",
            key,
        )
        found = sorted((int(sequence), id_, type_) for own, sequence, id_, type_ in distinct if own == key)
        if found != [(sequence, str(id_), type_) for sequence, id_, type_ in rows]:
            yield f"{name}: relayed {found}, outbox {rows}"
        types = Counter(type_.split(".")[-2] for _, _, type_ in found)
        outcome = ["issuance-refused"] if name in _BLOCKED else ["certificate-issued", "certificate-revoked"]
        if types != Counter(["order-opened", "csr-received", *outcome]):
            yield f"{name}: events {types}"


def _relayed(kafka: Kafka) -> list[dict[str, str]]:
    """Return headers and keys of all records in issuance's topic."""
    partitions = [TopicPartition(Topic.ISSUANCE.value, number) for number in range(PARTITIONS)]
    found = []
    with contextlib.closing(KafkaConsumer(**kafka.settings(local_kafka.ADMIN), group_id=None)) as reader:
        reader.assign(partitions)
        reader.seek_to_beginning(*partitions)
        ends = reader.end_offsets(partitions)
        while any(reader.position(partition) < end for partition, end in ends.items()):
            for records in reader.poll(timeout_ms=200).values():
                for each in records:
                    found.append({name: value.decode() for name, value in each.headers} | {"key": each.key.decode()})
    return found
