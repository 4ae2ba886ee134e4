"""CAA records and what follows from them for one server name."""

import pytest

from services.issuance.dcv import caa
from services.issuance.dcv.caa import CAAReason, Decision
from shared.pki.observations import MAX_TEXT, CAARecord, Kind, Observation, Outcome, Reason

OURS = "ca.example"
ACCOUNT = "acct:S1@ca.example"


def observed(*records: CAARecord, name: str = "www.shop.hk", owner: str = "shop.hk") -> Observation:
    return Observation(kind=Kind.CAA, name=name, outcome=Outcome.FOUND, records=records, owner=owner, ttl=60)


def decide(observation: Observation, name: str = "www.shop.hk", method: str = "7") -> Decision:
    return caa.decide(observation, name=name, issuer_domains=(OURS, "ca.hk"), accounts=(ACCOUNT,), method=method)


def issue(value: str, flags: int = 0, tag: str = "issue") -> CAARecord:
    return CAARecord(flags, tag, value)


@pytest.mark.parametrize(
    "value",
    [
        "ca.example",
        "CA.Example",
        "  ca.example\t",
        "ca.hk",
        "ca.example;",
        "ca.example ; ",
        "ca.example; policy=ev",
        "ca.example;a=b;c=d",
        "ca.example; a = b ; c-d = e=f\\092",
        "ca.example; a=",
        f"ca.example; accounturi={ACCOUNT}",
        f"ca.example; AccountURI = {ACCOUNT}",
        "ca.example; validationmethods=ca-tbr-7",
        "ca.example; validationmethods=dns-01,ca-tbr-7,ca-tbr-18",
        f"ca.example; validationmethods=ca-tbr-7; accounturi={ACCOUNT}",
    ],
)
def test_record_that_names_us_permits(value: str) -> None:
    assert decide(observed(issue(value))) == Decision(permitted=True)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("letsencrypt.org", CAAReason.OTHER_ISSUER),
        ("sub.ca.example", CAAReason.OTHER_ISSUER),
        ("example", CAAReason.OTHER_ISSUER),
        (";", CAAReason.NO_ISSUER),
        ("", CAAReason.NO_ISSUER),
        ("  ", CAAReason.NO_ISSUER),
        ("; a=b", CAAReason.NO_ISSUER),
        ("ca.example.", CAAReason.UNPARSABLE),
        (".ca.example", CAAReason.UNPARSABLE),
        ("ca..example", CAAReason.UNPARSABLE),
        ("-ca.example", CAAReason.UNPARSABLE),
        ("ca_1.example", CAAReason.UNPARSABLE),
        ("ca.example policy=ev", CAAReason.UNPARSABLE),
        ("ca.example, ca.hk", CAAReason.UNPARSABLE),
        ("ca.example; policy", CAAReason.UNPARSABLE),
        ("ca.example; =ev", CAAReason.UNPARSABLE),
        ("ca.example; a=b;", CAAReason.UNPARSABLE),
        ("ca.example;; a=b", CAAReason.UNPARSABLE),
        ("ca.example; a_b=c", CAAReason.UNPARSABLE),
        ("ca.example; a=b c", CAAReason.UNPARSABLE),
        ("ca.example; a=\\228", CAAReason.UNPARSABLE),
        ("ca.example\n", CAAReason.UNPARSABLE),
        ("ca.ex\\000ample", CAAReason.UNPARSABLE),
        ("\\228\\184\\173.hk", CAAReason.UNPARSABLE),
        ("ca.example; accounturi=acct:S2@ca.example", CAAReason.ACCOUNT),
        ("ca.example; accounturi=ACCT:S1@ca.example", CAAReason.ACCOUNT),
        ("ca.example; accounturi=", CAAReason.ACCOUNT),
        (f"ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}", CAAReason.PARAMETERS),
        (f"ca.example; accounturi={ACCOUNT}; ACCOUNTURI=acct:x", CAAReason.PARAMETERS),
        ("ca.example; validationmethods=dns-01", CAAReason.METHOD),
        ("ca.example; validationmethods=", CAAReason.METHOD),
        ("ca.example; validationmethods=CA-TBR-7", CAAReason.METHOD),
        ("ca.example; validationmethods=ca-tbr-18", CAAReason.METHOD),
        ("ca.example; validationmethods=ca-tbr-7,", CAAReason.PARAMETERS),
        ("ca.example; validationmethods=ca-tbr-7,!", CAAReason.PARAMETERS),
        ("ca.example; validationmethods=ca-tbr-7; validationmethods=ca-tbr-7", CAAReason.PARAMETERS),
        (f"ca.example; validationmethods=ca-tbr-18; accounturi={ACCOUNT}", CAAReason.METHOD),
        ("ca.example; validationmethods=ca-tbr-7; accounturi=acct:x", CAAReason.ACCOUNT),
        (" " * MAX_TEXT + "x y", CAAReason.UNPARSABLE),
        ("a" + "-" * MAX_TEXT, CAAReason.UNPARSABLE),
        ("ca.example;" + " " * MAX_TEXT + "x", CAAReason.UNPARSABLE),
        ("ca.example" + ";" * MAX_TEXT, CAAReason.UNPARSABLE),
    ],
)
def test_record_that_does_not_authorise_us_forbids(value: str, reason: CAAReason) -> None:
    decision = decide(observed(issue(value)))
    assert (decision.permitted, decision.reason) == (False, reason)
    assert decision.record == f'shop.hk CAA 0 issue "{value[:300]}"'


@pytest.mark.parametrize(
    "records",
    [
        pytest.param((), id="none, though found"),
        pytest.param((issue("letsencrypt.org"), issue("ca.example")), id="another CA and us"),
        pytest.param((issue(";"), issue("ca.example")), id="nobody and us"),
        pytest.param((issue("!"), issue("ca.example")), id="one unparsable and us"),
        pytest.param((issue("ca.example", tag="ISSUE"),), id="tag in capitals"),
        pytest.param((issue("ca.example", flags=128),), id="critical flag of a known tag"),
        pytest.param((issue("mailto:a@shop.hk", tag="iodef"),), id="iodef alone"),
        pytest.param((issue(";", tag="issuewild"),), id="issuewild alone, for another name"),
        pytest.param((issue(";", tag="issuemail", flags=128),), id="issuemail, critical"),
        pytest.param((issue("a@shop.hk", tag="contactemail", flags=128),), id="contactemail, critical"),
        pytest.param((issue("x", tag="future"),), id="unknown tag, not critical"),
        pytest.param((issue("x", tag="future", flags=127),), id="unknown tag, all other flags"),
        pytest.param((issue("x", tag=""),), id="empty tag"),
        pytest.param((issue(";", tag="issue\\000"),), id="a tag with a NUL is another tag"),
    ],
)
def test_set_without_objection_permits(records: tuple[CAARecord, ...]) -> None:
    assert decide(observed(*records)).permitted


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        pytest.param((issue("x", tag="future", flags=128),), CAAReason.CRITICAL_TAG, id="unknown critical tag alone"),
        pytest.param(
            (issue("ca.example"), issue("x", tag="future", flags=255)),
            CAAReason.CRITICAL_TAG,
            id="unknown critical tag beside us",
        ),
        pytest.param((issue("x", tag="", flags=128),), CAAReason.CRITICAL_TAG, id="empty critical tag"),
        pytest.param((issue(";"), issue("letsencrypt.org")), CAAReason.NO_ISSUER, id="nobody, and another CA"),
        pytest.param(
            (issue("letsencrypt.org"), issue("ca.example; accounturi=acct:x"), issue(";")),
            CAAReason.ACCOUNT,
            id="the record that names us is the one at fault",
        ),
    ],
)
def test_set_with_an_objection_forbids(records: tuple[CAARecord, ...], reason: CAAReason) -> None:
    decision = decide(observed(*records))
    assert (decision.permitted, decision.reason) == (False, reason)


@pytest.mark.parametrize(
    ("records", "permitted"),
    [
        pytest.param((issue("ca.example"),), True, id="issue decides without issuewild"),
        pytest.param((issue("letsencrypt.org"),), False, id="issue forbids without issuewild"),
        pytest.param((issue(";"), issue("ca.example", tag="issuewild")), True, id="issuewild replaces issue"),
        pytest.param((issue("ca.example"), issue(";", tag="issueWild")), False, id="issuewild forbids"),
        pytest.param((issue("ca.example"), issue("!", tag="issuewild")), False, id="unparsable issuewild forbids"),
        pytest.param((issue("mailto:a@shop.hk", tag="iodef"),), True, id="iodef alone"),
        pytest.param((issue("ca.example; validationmethods=ca-tbr-18", tag="issuewild"),), False, id="another method"),
    ],
)
def test_wildcard_goes_by_issuewild_first(records: tuple[CAARecord, ...], permitted: bool) -> None:
    assert decide(observed(*records, name="shop.hk"), name="*.shop.hk").permitted is permitted


def test_file_method_has_its_own_label() -> None:
    seen = observed(issue("ca.example; validationmethods=ca-tbr-18"))
    assert decide(seen, method="18").permitted
    assert decide(seen, method="7").reason == CAAReason.METHOD


def test_absence_permits() -> None:
    seen = Observation(kind=Kind.CAA, name="www.shop.hk", outcome=Outcome.ABSENT)
    assert decide(seen) == Decision(permitted=True)


@pytest.mark.parametrize("reason", list(Reason))
def test_failed_lookup_never_permits(reason: Reason) -> None:
    seen = Observation(kind=Kind.CAA, name="www.shop.hk", outcome=Outcome.FAILED, reason=reason, secure=False)
    assert decide(seen) == Decision(permitted=False, reason=reason)


def test_addresses_for_reports_are_noted() -> None:
    usable = ["mailto:a@shop.hk", "https://shop.hk/caa", "http://shop.hk/caa"]
    others = ["tel:1", "https://shop.hk/a b", "mailto:" + "a" * 300, "mailto:\\000"]
    records = [issue(value, tag="IODEF") for value in (*others, *usable, *usable)]
    assert decide(observed(issue(";"), *records)).iodef == (*usable, *usable[:2])
    assert decide(observed(*records)).iodef == (*usable, *usable[:2])


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (observed(issue(";"), name="shop.hk"), "www.shop.hk"),
        (observed(issue(";"), name="shop.hk"), "*.www.shop.hk"),
        (Observation(kind=Kind.TXT, name="www.shop.hk", outcome=Outcome.ABSENT), "www.shop.hk"),
    ],
    ids=["parent", "parent of a wildcard", "another kind"],
)
def test_observation_of_something_else_decides_nothing(seen: Observation, name: str) -> None:
    with pytest.raises(ValueError, match=r"www\.shop\.hk"):
        decide(seen, name)
