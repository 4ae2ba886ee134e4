"""Letters sealed by issuance and opened by mailing's print process."""

import pytest

from services.issuance.domain import Recipient
from services.issuance.pins import envelope_encryption
from services.mailing.print_key import PrintKey
from shared.vocabulary import Language
from tests.unit.services.mailing.letter import a_letter, a_print_key


@pytest.mark.parametrize("language", list(Language))
def test_print_process_decrypts_letters_of_issuance(language: Language) -> None:
    key, certificate = a_print_key()
    letter = a_letter(language=language)
    sealed = envelope_encryption.seal(
        envelope_encryption.Letter(
            renewal_id=letter.renewal_id,
            item_id=letter.item_id,
            envelope_id=letter.envelope_id,
            reference=letter.reference,
            server_name=letter.server_name,
            pin=letter.pin,
            recipient=Recipient(name=letter.recipient_name, organisation=letter.organisation, address=letter.address),
            language=letter.language,
        ),
        certificate,
    )
    assert PrintKey(key, certificate).open(sealed) == letter
