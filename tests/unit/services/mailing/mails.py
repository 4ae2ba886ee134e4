"""Every mail as people read it, in each of its turns.

`python -m tests.unit.services.mailing.mails` writes the golden texts.
"""

import email
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from services.mailing.domain import Help, Mail, Template, message_id
from services.mailing.messages import Composer
from shared.vocabulary import Language, RenewalId

FOLDER: Final = Path(__file__).parent / "golden"
RENEWAL: Final = RenewalId(uuid.UUID("0197f5c2-0000-7000-8000-000000000001"))
DATED: Final = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
STANDARD: Final = {"reference": "E-ABCDEFGHIJ", "product": "standard", "server_names": ["www.example.hk"]}
WILDCARD: Final = {"reference": "E-KLMNOPQRST", "product": "wildcard", "server_names": ["*.shop.example.hk"]}
SEVERAL: Final = {
    "reference": "E-UVWXYZ2345",
    "product": "multi-domain",
    "server_names": ["a.example.hk", "b.example.hk", "c.example.hk"],
}
ALL: Final = [STANDARD, WILDCARD, SEVERAL]
COMPOSER: Final = Composer(
    Address("Hongkong Post CA", addr_spec="no-reply@ecert.localhost"),
    Help(telephone="2921 6633", email="enquiry@eCert.gov.hk"),
)


def money(amount_minor: int) -> dict[str, object]:
    return {"amount_minor": amount_minor, "currency": "HKD"}


def refused(item: Mapping[str, object], cause: str) -> dict[str, object]:
    return {**item, "cause": cause, "refund": money(250_000)}


def _ended(reason: str, *, paid: bool, refund: int | None = None, **more: object) -> tuple[Template, dict[str, object]]:
    content = {"reason": reason, "ended_on": "2026-12-03", "items": ALL, "paid": paid}
    return Template.RENEWAL_CANCELLED, content | {"refund": None if refund is None else money(refund)} | more


def _delayed(item: Mapping[str, object], *missing: tuple[str, str, str]) -> tuple[Template, dict[str, object]]:
    obstacles = [dict(zip(("server_name", "kind", "reason"), each, strict=True)) for each in missing]
    return Template.CERTIFICATE_DELAYED, {"items": [item], "missing": obstacles, "until": "2027-02-21"}


def _reminder(days_left: int, safe_start: str | None) -> tuple[Template, dict[str, object]]:
    numbers = {"srn": "0002310001", "serial": "0a1b2c3d4e5f60718293a4b5c6d7e8f9"}
    content = {"items": [SEVERAL], "paid_until": "2027-01-31", "portal": "https://portal.ecert.localhost"}
    return Template.RENEWAL_REMINDER, {**content, **numbers, "days_left": days_left, "safe_start": safe_start}


def _replace(days_left: int) -> tuple[Template, dict[str, object]]:
    numbers = {"srn": "0002310001", "serial": "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "days_left": days_left}
    ends = {"certificate_until": "2027-01-31", "paid_until": "2027-07-15", "portal": "https://portal.ecert.localhost"}
    return Template.REISSUE_REMINDER, {"items": [SEVERAL], **numbers, **ends}


def _revoked(reason: str, *, by_representative: bool) -> tuple[Template, dict[str, object]]:
    content = {"serial": "0a1b2c3d", "revoked_at": "2026-12-02T00:05:00+08:00", "by_representative": by_representative}
    return Template.CERTIFICATE_REVOKED, {"items": [STANDARD], "reason": reason, **content}


_SUBJECT: Final = "subject-not-certifiable"
CASES: Final[Mapping[str, tuple[Template, dict[str, object]]]] = {
    "csr-request": (Template.CSR_REQUEST, {"items": ALL, "paid": money(1_324_000), "paid_on": "2026-11-23"}),
    "csr-request-of-a-reissue": (Template.CSR_REQUEST, {"items": ALL, "paid": None}),
    "delayed": _delayed(
        SEVERAL,
        ("a.example.hk", "validation", "record-missing"),
        ("b.example.hk", "validation", "dns-bogus"),
        ("c.example.hk", "caa", "caa-other-issuer"),
    ),
    "delayed-for-evidence": _delayed(STANDARD, ("www.example.hk", "evidence", "organisation-evidence-lapsed")),
    "delayed-for-a-reason-of-tomorrow": _delayed(
        WILDCARD,
        ("*.shop.example.hk", "validation", "of-tomorrow"),
        ("shop.example.hk", "caa", "of-tomorrow"),
        ("*.shop.example.hk", "evidence", "of-tomorrow"),
        ("*.shop.example.hk", "evidence", "authority-evidence-lapsed"),
        ("shop.example.hk", "of-tomorrow", "of-tomorrow"),
    ),
    "completed": (Template.RENEWAL_COMPLETED, {"issued": ALL, "refused": [], "refund": None}),
    "completed-in-part": (
        Template.RENEWAL_COMPLETED,
        {
            "issued": ALL[:1],
            "refused": [refused(WILDCARD, _SUBJECT), refused(SEVERAL, "cancelled")],
            "refund": money(500_000),
        },
    ),
    "item-refused": (
        Template.ITEM_REFUSED,
        {"items": [refused(SEVERAL, "subscription-over")], "refund": money(250_000)},
    ),
    "cancelled-paid": _ended("cancelled", paid=True, refund=1_324_000),
    "cancelled-unpaid": _ended("cancelled", paid=False),
    "ended-not-paid": _ended("not-paid", paid=False),
    "ended-no-csr": _ended("no-csr", paid=True, refund=1_324_000),
    "ended-not-issued": _ended("not-issued", paid=True, refund=1_324_000),
    "ended-not-released": _ended("not-released", paid=True, refund=1_324_000),
    "ended-refused": _ended("refused", paid=True, refund=250_000, items=[refused(STANDARD, "lint")]),
    "ended-for-a-reason-of-tomorrow": _ended("withheld", paid=True, refund=1_324_000),
    "reminder": _reminder(60, "2027-01-05"),
    "reminder-late": _reminder(1, None),
    "reminder-of-the-certificate": _replace(66),
    "pin-replaced": (Template.PIN_REPLACED, {"items": [{**SEVERAL, "server_names": ["a.example.hk", "c.example.hk"]}]}),
    "revoked-by-the-ar": _revoked("keyCompromise", by_representative=True),
    "revoked-by-the-ca": _revoked("privilegeWithdrawn", by_representative=False),
    "revoked-without-a-reason": _revoked("unspecified", by_representative=True),
    "payment-returned": (Template.PAYMENT_RETURNED, {"refund": money(1_324_000)}),
    "ecert-rolled-over": (
        Template.ECERT_ROLLED_OVER,
        {"representative": "CHAN Tai Man", "registered_on": "2026-12-03", "reference": "5A0C77E1"},
    ),
}


def a_mail(
    case: str = "csr-request",
    language: Language = Language.ENGLISH,
    name: str = "CHAN Tai Man 陳大文",
    **content: object,
) -> Mail:
    template, values = CASES[case]
    known: dict[str, object] = {
        "reference": "R-ABCDEFGHIJ",
        "subscriber": "Example & Sons Limited 例子父子有限公司",
        "link": f"https://portal.ecert.localhost/{language.lower()}/renewals/{RENEWAL}",
    }
    return Mail(
        id=uuid.UUID(int=7),
        renewal_id=RENEWAL,
        template=template,
        language=language,
        recipient_name=name,
        recipient_address="chan@example.hk",
        message_id=message_id(RENEWAL, template, "chan@example.hk", "ecert.localhost"),
        content=known | values | content,
    )


def read(message: bytes) -> tuple[EmailMessage, str, str]:
    """Return the message, its text part, its HTML part."""
    parsed = email.message_from_bytes(message, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    text, html = (part.get_content().replace("\r\n", "\n") for part in parsed.iter_parts())
    return parsed, text, html


class _Sight(HTMLParser):
    """Visible text of a page, a line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden = self._hidden or tag == "title"
        if tag in ("h1", "h2", "p", "li", "br", "div"):
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = self._hidden and tag != "title"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.lines[-1] += data


def seen(html: str) -> list[str]:
    """Return the lines of an HTML part."""
    sight = _Sight()
    sight.feed(html)
    return [line for raw in sight.lines if (line := " ".join(raw.split()))]


def golden(case: str, language: Language) -> Path:
    """Return where a mail's text lies as it shall be."""
    return FOLDER / f"{case}.{language}.txt"


def rendered(case: str, language: Language) -> str:
    """Return subject, text part, and what is seen of the HTML part."""
    message, text, html = read(COMPOSER.compose(a_mail(case, language), DATED))
    return f"{message['Subject']}\n\n{text}\n--- HTML ---\n" + "".join(f"{line}\n" for line in seen(html))


def main() -> None:
    """Write all golden files again; review the difference before committing it."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for case in CASES:
        for language in Language:
            golden(case, language).write_text(rendered(case, language), "utf-8")


if __name__ == "__main__":
    main()
