"""Enquiries at the desk, in a real browser on the whole system: a quoted mail; and refused visitors."""

import re
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509

from devtools.scenario.journey import Journey
from tests.browser.desk.staff_browser import StaffBrowser

Begin = Callable[..., Journey]
SitDown = Callable[..., StaffBrowser]
pytestmark = pytest.mark.timeout(300)


def test_certificate_is_found_by_the_reference_in_its_mail_and_everything_about_it_is_verified(
    at_desk: SitDown, begin: Begin, spare: Iterator[str]
) -> None:
    ar = begin(next(spare))
    ar.apply()
    ar.receive()
    ar.fulfil()
    ar.accept()
    [order] = ar.orders
    quoted = re.findall(r"\bE-[A-Z0-9-]+\b", ar.csr_mails()[0]["text"])
    assert quoted[0] == order.reference

    desk = at_desk("lau-wing-yan")
    desk.find(quoted[0])
    desk.until(".govuk-tag", "Issued and accepted")
    desk.until(".portal-timeline li", "Renewal completed")
    assert desk.title == ar.renewal["reference"]
    certificate = x509.load_pem_x509_certificates(ar.certificates[order.reference].read_bytes())[0]
    [serial] = desk.fact("Serial number")
    assert int(serial.replace(":", ""), 16) == certificate.serial_number
    assert desk.fact("Subscriber") == ["Harbour Lights Trading Limited"]
    threads = [" ".join(each.split()) for each in desk.window.texts("#time-line + ul li")]
    assert [each.partition(":")[0] for each in threads] == ["application", "identity", "issuance", "mailing", "payment"]
    assert all(re.search(r": Complete \d+ of \d+ events, no gap$", each) for each in threads), threads
    steps = " ".join(desk.window.texts(".portal-timeline li"))
    assert "Attestation and receipt: verified" in steps
    assert "Certificate accepted" in steps


@pytest.mark.slow
def test_staff_certificate_in_chromiums_own_store_signs_in(
    at_store: Callable[[str], StaffBrowser],
) -> None:
    desk = at_store("lau-wing-yan")
    desk.open("/")
    assert desk.title == "Find a certificate"
    assert "LAU Wing Yan 劉詠恩 (S1001): enquiries." in desk.window.texts("footer")[0]


@pytest.mark.parametrize(
    ("member", "title"),
    [
        ("fung-chi-ho-revoked", "Your staff certificate was revoked"),
        ("ng-pui-shan-no-role", "You have no role at the desk"),
    ],
)
def test_refused_visitor_sees_the_reason_and_the_auditor_sees_the_visitor(
    at_desk: SitDown, member: str, title: str
) -> None:
    stranger = at_desk(member)
    stranger.open("/held")
    assert stranger.title == title
    assert stranger.window.texts("nav") == []
    auditor = at_desk("mok-sze-wan")
    auditor.open("/audit")
    staff_id = {"fung-chi-ho-revoked": "S1007", "ng-pui-shan-no-role": "S1006"}[member]
    assert "not-let-in" in auditor.rows(staff_id)[0]
