"""One renewal of three items through the whole system, by public means only."""

import base64
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from kafka import KafkaConsumer, TopicPartition

from deploy.kafka.topics import PARTITIONS
from deploy.local import kafka as local_kafka
from devtools.scenario.journey import Journey
from devtools.scenario.target import Target
from services.issuance.ca import lint
from services.issuance.ct import certificate_check
from shared.events.base import Topic
from tests.system.readings import events, rows, tables
from tests.system.verification import MISSING, Issued, Relying, faults_of_all

Begin = Callable[..., Journey]
SRNS = ("0002310001", "0002310002", "0002310003")


@pytest.fixture(scope="module")
def renewed(system: Target, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """The renewal that the tests of this module look at."""
    journey = system.journey(list(SRNS), tmp_path_factory.mktemp("renewed"))
    journey.apply()
    journey.receive()
    journey.fulfil()
    journey.accept()
    return journey


def test_every_certificate_verifies_and_has_no_lint(renewed: Journey, system: Target) -> None:
    assert set(renewed.verify(system.root).values()) == {"OK"}
    for chain in renewed.certificates.values():
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        assert not lint.pkilint_findings(certificate.public_bytes(Encoding.DER))
        assert not certificate_check.faults(certificate.public_bytes(Encoding.DER))


def test_every_certificate_passes_with_the_lists_that_it_and_its_issuer_name(
    renewed: Journey, system: Target, tmp_path: Path
) -> None:
    for chain in renewed.certificates.values():
        leaf, issuer = x509.load_pem_x509_certificates(chain.read_bytes())
        relying = Relying.fetch(system, leaf, tmp_path)
        assert relying.issuer == issuer
        assert [*relying.faults(Issued(certificate=leaf, is_revoked=False))] == []
        # The check itself finds a difference: this certificate is not on the list.
        assert len([*relying.faults(Issued(certificate=leaf, is_revoked=True))]) >= 1


def test_second_program_verifies_what_the_system_has_made(renewed: Journey, system: Target, tmp_path: Path) -> None:
    if shutil.which("certtool") is None:
        pytest.skip(MISSING)
    assert renewed.certificates
    assert faults_of_all(system, tmp_path) == []


def test_wildcard_certificate_covers_its_base_name(renewed: Journey) -> None:
    wildcard = next(order for order in renewed.orders if order.product == "wildcard")
    certificate = x509.load_pem_x509_certificates(renewed.certificates[wildcard.reference].read_bytes())[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "*.shop.harbourlights.example.hk",
        "shop.harbourlights.example.hk",
    }


def test_every_event_is_announced_once_and_in_order(renewed: Journey, system: Target) -> None:
    found = events(system, renewed.id)
    assert found["identity.events"] == ["signature-verified"]
    assert found["identity.evidence"] == ["evidence-kept"]
    # One of the certificates ends so soon that the risk may be announced before the last one is issued.
    assert found["application.events"].count("renewal-at-risk") <= 1
    course = [event for event in found["application.events"] if event != "renewal-at-risk"]
    assert course == ["renewal-submitted", "csr-requested", "renewal-completed"]
    assert found["payment.events"] == ["payment-captured"]
    assert found["mailing.events"] == ["csr-request-sent"]
    assert found["issuance.pin-envelopes"] == ["pin-envelope-sealed"] * 5
    assert Counter(found["issuance.events"]) == {
        "order-opened": 3,
        "csr-received": 3,
        "certificate-issued": 3,
        "certificate-accepted": 3,
    }


def test_exactly_one_csr_mail_names_every_server(renewed: Journey) -> None:
    (mail,) = renewed.csr_mails()
    names = [name for order in renewed.orders for name in order.server_names]
    assert all(name in mail["text"] and name in mail["html"] for name in names)


def test_pins_are_in_their_letters_only(renewed: Journey, system: Target) -> None:
    pins = [letter.pin.encode() for letter in renewed.letters]
    assert len(set(pins)) == 5
    for service in ("identity", "application", "payment", "mailing", "issuance"):
        for table in tables(system, service):
            dump = repr(rows(system, service, f"SELECT t::text FROM {table} AS t")).encode()
            assert_absent(pins, dump, f"{service}.{table}")
    for file in [*system.installation.logs.rglob("*"), *(system.installation.folder / "mail").rglob("*")]:
        if file.is_file():
            assert_absent(pins, file.read_bytes(), file.name)
    for topic in Topic:
        assert_absent(pins, read_topic(system, topic), topic)
    manifests = b"".join(path.read_bytes() for path in system.installation.posting.rglob("*.csv"))
    assert_absent(pins, manifests, "manifests")


def assert_absent(pins: list[bytes], content: bytes, where: str) -> None:
    for pin in pins:
        in_fours = b" ".join(pin[at : at + 4] for at in range(0, len(pin), 4))
        for form in (pin, in_fours, pin.hex().encode(), base64.b64encode(pin).rstrip(b"=")):
            assert form not in content, f"a PIN lies in {where}"


def read_topic(system: Target, topic: str) -> bytes:
    """Return every record of a topic, with its headers."""
    broker = system.installation.broker
    with KafkaConsumer(
        bootstrap_servers=[broker.address],
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=local_kafka.ADMIN,
        sasl_plain_password=system.installation.passwords["kafka/admin"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        consumer_timeout_ms=2000,
    ) as consumer:
        consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        records = list(consumer)
    assert records or topic == Topic.REGISTER, f"{topic} is empty"
    return b"\n".join(repr((record.key, record.value, record.headers)).encode() for record in records)


def test_renewal_cancelled_before_payment_ends_and_frees_its_subscription(journey: Begin, system: Target) -> None:
    cancelled = journey("0002310004")
    cancelled.ar.sign_in()
    cancelled.renewal = cancelled.ar.draft(cancelled.srns)
    cancelled.ar.submit(cancelled.id, cancelled.ar.sign(cancelled.id))
    cancelled.ar.post(f"/application/v1/renewals/{cancelled.id}/cancellation")
    cancelled.wait_for_state("cancelled")
    assert events(system, cancelled.id)["issuance.events"] == ["issuance-withheld"]
    again = cancelled.ar.draft(cancelled.srns)
    assert again["state"] == "draft"


def test_paid_renewal_cancelled_before_its_csrs_is_refunded_once(journey: Begin, system: Target) -> None:
    cancelled = journey("0002310008", person="lee-siu-fong")
    cancelled.apply()
    cancelled.wait_for_state("awaiting-csrs")
    cancelled.ar.post(f"/application/v1/renewals/{cancelled.id}/cancellation")
    cancelled.wait_for_state("cancelled")
    cancelled.wait_for_event("refunded")
    found = events(system, cancelled.id)
    assert found["payment.events"] == ["payment-captured", "payment-refunded"]
    assert "certificate-issued" not in found.get("issuance.events", [])


def test_certificate_chain_can_be_installed(renewed: Journey, tmp_path: Path) -> None:
    for chain in renewed.certificates.values():
        certificates = x509.load_pem_x509_certificates(chain.read_bytes())
        assert len(certificates) == 2
        certificates[0].verify_directly_issued_by(certificates[1])
