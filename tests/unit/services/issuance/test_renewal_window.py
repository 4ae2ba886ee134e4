"""Suggested window of a certificate, and its identifier (RFC 9773)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.issuance.certificate_ids import NoCertificateId, certificate_id, serial_of
from shared.pki.suggested_windows import suggested_window

# The example of RFC 9773, 4.1.
KEY_IDENTIFIER = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
EXAMPLE = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_identifier_is_that_of_the_rfcs_example() -> None:
    assert certificate_id(KEY_IDENTIFIER, 0x87654321) == EXAMPLE
    assert serial_of(EXAMPLE, KEY_IDENTIFIER) == "87654321"


@given(st.integers(min_value=1, max_value=2**159 - 1))
def test_identifier_names_its_serial_number_only(serial: int) -> None:
    assert serial_of(certificate_id(KEY_IDENTIFIER, serial), KEY_IDENTIFIER) == f"{serial:x}"


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "AIdlQyE", f"{EXAMPLE}.", f"{EXAMPLE}=", f" {EXAMPLE}", EXAMPLE.replace(".", "..")),
        *("aYhba4dGQEHhs3uEe6CuLN4ByNQ.", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AA", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.h2VDIQ"),
        *("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AACHZUMh", "bYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", EXAMPLE + "A" * 100),
        *("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE\u00e9", "\u0001.\u0000", "a.b", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdl+yE"),
    ],
    ids=ascii,
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(NoCertificateId):
        serial_of(text, KEY_IDENTIFIER)


@given(st.text(max_size=100))
def test_arbitrary_text_is_refused_or_read(text: str) -> None:
    try:
        serial = serial_of(text, KEY_IDENTIFIER)
    except NoCertificateId:
        return
    assert certificate_id(KEY_IDENTIFIER, int(serial, 16)) == text


@pytest.mark.parametrize(("days", "opens", "closes"), [(198, 66, 33), (99, 33, 16.5), (45, 15, 7.5)])
def test_window_lies_between_a_third_and_a_sixth_of_the_validity(days: int, opens: float, closes: float) -> None:
    window = suggested_window(NOW, NOW + days * DAY, None)
    assert NOW + days * DAY - window.start == opens * DAY
    assert NOW + days * DAY - window.end == closes * DAY


@pytest.mark.parametrize("days", [199, 99, 46])
def test_window_of_a_revoked_certificate_is_over_when_it_is_revoked(days: int) -> None:
    window = suggested_window(NOW, NOW + days * DAY, NOW + DAY)
    assert window.start < window.end == NOW + DAY
