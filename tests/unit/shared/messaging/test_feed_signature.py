"""The signature of a feed's event: what it covers, and that openssl agrees by what the guide says."""

import base64
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from shared.events.base import Envelope, Topic
from shared.events.issuance import IssuanceWithheld
from shared.messaging import codec, feed_signature
from shared.messaging.feed_signature import SignatureWrong
from shared.security.tokens import KeySet, SigningKey
from shared.vocabulary import RenewalId
from tests.support.builders import signing_key

KEY, OLD = signing_key("feed"), signing_key("feed of last year")
KEYS = KeySet.parse({"keys": [KEY.jwk(), OLD.jwk()]})
RENEWAL = RenewalId(uuid.UUID("2821c366-0b6a-45d6-ade1-a3ed876c949f"))
EVENT = IssuanceWithheld(renewal_id=RENEWAL)


def event(key: SigningKey = KEY, **changes: Any) -> Envelope:
    """Return a signed event; the changes are made before it is signed."""
    plain = Envelope(
        id=uuid.UUID("bb611ec7-3771-446c-ab5b-4daad43515bb"),
        source="/issuance",
        type=EVENT.TYPE,
        topic=EVENT.TOPIC,
        subject=str(RENEWAL),
        sequence=7,
        time=datetime(2026, 11, 23, 4, 5, 6, 789000, tzinfo=UTC),
        data=codec.encode_data(EVENT),
        dataschema=codec.schema_name(EVENT.TYPE),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        causationid="0af7651916cd43dd8448eb211c80319c",
        position=42,
    )
    placed = replace(plain, **changes)
    return replace(placed, signature=feed_signature.sign(placed, key))


def test_signed_text_never_changes() -> None:
    assert feed_signature.payload(event()).decode() == (
        '{"dataschema":"urn:ecert:event-schema:hk.ecert.issuance.issuance-withheld.v1",'
        '"datasha256":"f002cdc7a81326730873d700c6872b134234e68d7dc64ef7a30aad4f3a433ecf",'
        '"feed":"issuance.events","id":"bb611ec7-3771-446c-ab5b-4daad43515bb","position":"42","sequence":"7",'
        '"source":"/issuance","subject":"2821c366-0b6a-45d6-ade1-a3ed876c949f","time":"2026-11-23T04:05:06.789000Z",'
        '"type":"hk.ecert.issuance.issuance-withheld.v1"}'
    )


@pytest.mark.parametrize("key", [KEY, OLD])
def test_event_signed_by_any_published_key_verifies_and_names_it(key: SigningKey) -> None:
    assert feed_signature.verify(event(key), KEYS) == key.kid


def test_second_signature_is_the_same() -> None:
    assert event().signature == event().signature


@pytest.mark.parametrize(
    "change",
    [
        {"id": uuid.uuid4()},
        {"source": "/payment"},
        {"type": "hk.ecert.issuance.issuance-refused.v1"},
        {"topic": Topic.PAYMENT},
        {"subject": str(uuid.uuid4())},
        {"sequence": 8},
        {"position": 43},
        {"time": datetime(2026, 11, 23, 4, 5, 6, 789001, tzinfo=UTC)},
        {"dataschema": "urn:ecert:event-schema:another"},
        {"data": EVENT.TYPE.encode()},
        {"data": b""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_signed_attribute_fails_verification(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureWrong):
        feed_signature.verify(replace(event(), **change), KEYS)


def test_trace_is_not_signed() -> None:
    elsewhere = replace(event(), traceparent=None, causationid=None)
    assert feed_signature.verify(elsewhere, KEYS)


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


GOOD = str(event().signature)
HEADER, _, VALUE = GOOD.split(".")
OTHER = str(event(position=43).signature).rpartition(".")[2]


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "x",
        "..",
        f"{HEADER}..",
        f"..{VALUE}",
        f"{HEADER}..{OTHER}",
        f"{HEADER}.{VALUE}",
        f"{HEADER}.e30.{VALUE}",
        f"{HEADER}..{VALUE}.x",
        f"{_b64({'alg': 'none', 'kid': KEY.kid, 'typ': feed_signature.TYP})}..",
        f"{_b64({'alg': 'HS256', 'kid': KEY.kid, 'typ': feed_signature.TYP})}..{VALUE}",
        f"{_b64({'alg': 'ES256', 'kid': 'another', 'typ': feed_signature.TYP})}..{VALUE}",
        f"{_b64({'alg': 'ES256', 'kid': KEY.kid, 'typ': feed_signature.TYP, 'b64': False})}..{VALUE}",
        f"{_b64([])}..{VALUE}",
        f"{HEADER}..{VALUE[:-4]}",
        "Ä..Ä",
    ],
    ids=range(17),  # the signatures are others in every run
)
def test_other_signature_fails_verification(signature: str | None) -> None:
    with pytest.raises(SignatureWrong):
        feed_signature.verify(replace(event(), signature=signature), KEYS)


def test_event_without_a_position_fails_verification() -> None:
    with pytest.raises(SignatureWrong):
        feed_signature.verify(replace(event(), position=None), KEYS)


def test_token_over_the_same_bytes_is_no_feed_signature() -> None:
    """The kind of a signature is signed with it."""
    whole = event()
    token = jwt.PyJWS().encode(feed_signature.payload(whole), KEY.key, "ES256", {"kid": KEY.kid, "typ": "at+jwt"})
    head, _, value = token.split(".")
    with pytest.raises(SignatureWrong, match="another kind"):
        feed_signature.verify(replace(whole, signature=f"{head}..{value}"), KEYS)


def test_event_read_from_a_record_verifies() -> None:
    whole = event()
    back = codec.from_record(whole.topic, whole.key, codec.to_headers(whole), whole.data)
    assert back == whole
    assert feed_signature.verify(back, KEYS)


def test_http_and_kafka_carry_the_same_event() -> None:
    whole = event(time=datetime(2026, 11, 23, tzinfo=UTC) + timedelta(hours=1))
    headers = {name.removeprefix("ce_"): value.decode() for name, value in codec.to_headers(whole)}
    structured = codec.to_json(whole)
    assert base64.b64decode(structured.pop("data_base64")) == whole.data
    assert structured.pop("datacontenttype") == headers.pop("content-type")
    assert structured == headers
