"""What an AR reads: the mails, and that nothing in them can be forged by a name."""

import email
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

import pytest
from jinja2 import UndefinedError

from services.mailing.domain import (
    AddressRefused,
    Help,
    Mail,
    Template,
    mail_address,
    message_id,
    one_line,
)
from services.mailing.messages import Composer
from shared.events.base import Language, RenewalId

RENEWAL: Final = RenewalId(uuid.UUID("0197f5c2-0000-7000-8000-000000000001"))
DATED: Final = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
LINK: Final = f"https://portal.ecert.localhost/renewals/{RENEWAL}"
ITEMS: Final = [
    {"reference": "R26-0001-1", "product": "e-Cert (Server)", "server_names": ["www.example.hk"]},
    {
        "reference": "R26-0001-2",
        "product": 'e-Cert (Server) "Multi-domain"',
        "server_names": ["a.example.hk", "b.example.hk"],
    },
]
COMPOSER: Final = Composer(
    Address("Hongkong Post CA", addr_spec="no-reply@ecert.localhost"),
    Help(telephone="2921 6633", email="enquiry@eCert.gov.hk"),
)


def a_mail(template: Template = Template.CSR_REQUEST, name: str = "Chan Tai Man", **content: object) -> Mail:
    values: dict[str, object] = {"reference": "R26-0001", "subscriber": "Example & Sons Limited", "link": LINK}
    if template is Template.CSR_REQUEST:
        values["items"] = ITEMS
    return Mail(
        id=uuid.UUID(int=7),
        renewal_id=RENEWAL,
        template=template,
        language=Language.ENGLISH,
        recipient_name=name,
        recipient_address="chan@example.hk",
        message_id=message_id(RENEWAL, template, "chan@example.hk", "ecert.localhost"),
        content=values | content,
    )


def read(message: bytes) -> tuple[EmailMessage, str, str]:
    parsed = email.message_from_bytes(message, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    text, html = (part.get_content() for part in parsed.iter_parts())
    return parsed, text, html


def test_the_csr_request_names_each_item_with_its_reference_and_server_names() -> None:
    message, text, html = read(COMPOSER.compose(a_mail(), DATED))
    assert message["Subject"] == "Submission of Certificate Signing Request (CSR)"
    assert message["To"] == "Chan Tai Man <chan@example.hk>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    for part in (text, html):
        for wanted in ("R26-0001-1", "www.example.hk", "R26-0001-2", "a.example.hk", "b.example.hk", LINK):
            assert wanted in part
        assert "registered post" in part
        assert "before the current certificate" in " ".join(part.split())
        assert "2921 6633" in part
    assert "Example &amp; Sons" in html
    assert "Example & Sons" in text


def test_a_second_sending_repeats_every_byte() -> None:
    assert COMPOSER.compose(a_mail(), DATED) == COMPOSER.compose(a_mail(), DATED)
    assert b"Date: Mon, 23 Nov 2026 01:30:00 +0000\r\n" in COMPOSER.compose(a_mail(), DATED)


def test_the_message_id_depends_on_renewal_template_and_recipient_only() -> None:
    first = message_id(RENEWAL, Template.CSR_REQUEST, "a@example.hk", "ecert.localhost")
    assert first == message_id(RENEWAL, Template.CSR_REQUEST, "a@example.hk", "ecert.localhost")
    assert first != message_id(RENEWAL, Template.CSR_REQUEST, "b@example.hk", "ecert.localhost")
    assert first != message_id(RENEWAL, Template.RENEWAL_COMPLETED, "a@example.hk", "ecert.localhost")


@pytest.mark.parametrize(
    "name", ["Eve\r\nBcc: all@example.hk", "Eve\nBcc: x@y.hk", "Eve\u2028Bcc: x", "Eve\x00\x85Bcc: x"]
)
def test_a_name_cannot_add_a_header(name: str) -> None:
    message, _, _ = read(COMPOSER.compose(a_mail(name=one_line(name)), DATED))
    assert message["Bcc"] is None
    assert len(message["To"].addresses) == 1
    with pytest.raises(ValueError, match=r"linefeed|invalid"):
        COMPOSER.compose(a_mail(name="Eve\r\nBcc: all@example.hk"), DATED)


def test_a_name_cannot_add_markup() -> None:
    _, _, html = read(COMPOSER.compose(a_mail(name='<img src="https://evil.example/x">'), DATED))
    assert "<img" not in html


def test_a_chinese_name_arrives_unharmed() -> None:
    message, text, html = read(COMPOSER.compose(a_mail(name="陳大文", subscriber="香港𨋢有限公司"), DATED))
    assert message["To"].addresses[0].display_name == "陳大文"
    assert "香港𨋢有限公司" in text
    assert "陳大文" in html


def test_a_mail_without_what_its_template_needs_is_not_sent_half_empty() -> None:
    mail = a_mail()
    with pytest.raises(UndefinedError):
        COMPOSER.compose(replace(mail, content={k: v for k, v in mail.content.items() if k != "items"}), DATED)


def test_the_completed_mail_says_what_was_issued_and_what_was_not() -> None:
    completed = Template.RENEWAL_COMPLETED
    message, text, html = read(COMPOSER.compose(a_mail(completed, issued=ITEMS[:1], refused=ITEMS[1:]), DATED))
    assert message["Subject"] == "Your renewed e-Cert (Server) certificates are ready (R26-0001)"
    for part in (text, html):
        assert part.index("www.example.hk") < part.lower().index("not issued") < part.index("a.example.hk")
        assert LINK in part
    _, text, html = read(COMPOSER.compose(a_mail(completed, issued=ITEMS, refused=[]), DATED))
    assert "not issued" not in (text + html).lower()


@pytest.mark.parametrize("template", list(Template))
def test_no_mail_loads_anything_from_outside(template: Template) -> None:
    _, _, html = read(COMPOSER.compose(a_mail(template, issued=ITEMS, refused=ITEMS), DATED))
    assert "src=" not in html
    assert "url(" not in html


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@b",
        "a@@example.hk",
        "a@b.hk\r\nBcc: c@example.hk",
        "a b@example.hk",
        "陳@example.hk",
        "<a@example.hk>",
    ],
)
def test_what_is_no_mail_address_is_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        mail_address(text)


def test_a_usual_mail_address_is_taken_as_it_is() -> None:
    assert mail_address("Tai-Man.Chan+certs@mail.example.com.hk") == "Tai-Man.Chan+certs@mail.example.com.hk"
