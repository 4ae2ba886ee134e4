"""What issuance seals is what mailing's print process opens."""

from services.issuance import sealing
from services.mailing.print_key import PrintKey
from tests.unit.mailing.letter import a_letter, a_print_key


def test_the_print_process_opens_what_issuance_seals() -> None:
    key, certificate = a_print_key()
    letter = a_letter()
    sealed = sealing.seal(
        sealing.Letter(
            renewal_id=letter.renewal_id,
            item_id=letter.item_id,
            envelope_id=letter.envelope_id,
            reference=letter.reference,
            server_name=letter.server_name,
            pin=letter.pin,
            recipient=sealing.Recipient(
                name=letter.recipient_name, organisation=letter.organisation, address=letter.address
            ),
        ),
        certificate,
    )
    assert PrintKey(key, certificate).open(sealed) == letter
