"""Exports and files of events that were handed on: what is whole is good, and what is not is said."""

import csv
import io
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backoffice.kit import exporting
from backoffice.kit.client import FEED
from backoffice.kit.exporting import as_csv
from backoffice.kit.following import Follower
from backoffice.kit.keys import KeyRing
from backoffice.kit.main import main
from backoffice.kit.order import Finding, Kind
from backoffice.kit.output import Printer, printable
from backoffice.kit.state import Certificate, State
from backoffice.kit.verifying import verify
from shared.events.base import Event
from shared.events.issuance import CertificateAccepted, CertificateIssued, CertificateRevoked
from shared.messaging import codec
from shared.security.tokens import KeySet
from shared.vocabulary import ItemId, RenewalId
from tests.unit.backoffice.kit.feed import Given, Worked, at, keys

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
RENEWAL, ITEM = RenewalId(uuid.UUID(int=7)), ItemId(uuid.UUID(int=8))
EXAMPLES = Path("docs/events")


def issued(serial: str) -> CertificateIssued:
    return CertificateIssued(
        renewal_id=RENEWAL,
        item_id=ITEM,
        srn="0002310001",
        serial=serial,
        server_names=("a.example.hk", "b.example.hk"),
        not_before=NOW,
        not_after=NOW,
        certificate_sha256="ab" * 32,
        certificate="PEM",
    )


def accepted(serial: str) -> CertificateAccepted:
    return CertificateAccepted(renewal_id=RENEWAL, item_id=ITEM, serial=serial, accepted_at=NOW)


def revoked(serial: str) -> CertificateRevoked:
    return CertificateRevoked(renewal_id=RENEWAL, item_id=ITEM, serial=serial, reason="superseded", revoked_at=NOW)


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., str]:
    """Export after these events were followed."""

    def run(*events: Event) -> str:
        state = State(tmp_path / "state", FEED, baseline=None)
        feed = [at(n, event, sequence=n) for n, event in enumerate(events, 1)]
        Follower(Given([feed]), state, keys(), Worked()).turn()
        text = as_csv(state.certificates(), up_to=state.next_position - 1)
        state.close()
        return text

    return run


def test_export_has_the_state_of_every_certificate(export: Callable[..., str]) -> None:
    text = export(issued("0a"), issued("0b"), accepted("0a"), issued("0c"), revoked("0b"), accepted("0d"))
    rows = text.splitlines()
    assert [row.split(",")[:4] for row in rows[1:-1]] == [
        ["0a", "accepted", "0002310001", "a.example.hk b.example.hk"],
        ["0b", "revoked", "0002310001", "a.example.hk b.example.hk"],
        ["0c", "issued", "0002310001", "a.example.hk b.example.hk"],
        ["0d", "accepted", "", ""],
    ]
    assert rows[-1].startswith("# end: 4 certificates, feed read up to 6, sha256 ")
    assert [*exporting.check(text)] == []
    assert verify(text, keys()).wrong == []


def test_truncated_or_changed_export_is_detected(export: Callable[..., str]) -> None:
    text = export(issued("0a"), issued("0b"), accepted("0a"))
    for cut in range(len(text) - 1):
        assert verify(text[:cut] or "serial,", keys()).wrong, cut
    lines = text.splitlines(keepends=True)
    without_one = "".join([*lines[:1], *lines[2:]])
    assert [each.split(":")[0] for each in verify(without_one, keys()).wrong] == ["truncated", "changed"]
    assert [each.split(":")[0] for each in verify(text.replace(",accepted,", ",revoked,"), keys()).wrong] == ["changed"]
    assert verify(text.replace("serial,state", "serial,fate"), keys()).wrong


@pytest.mark.parametrize("name", ["Ärger, Ltd", 'quo"te', "two\nlines", "香港.example.hk"])
def test_any_text_survives_the_export_format(name: str) -> None:
    certificate = Certificate(serial="0a", position=1, renewal_id="r", item_id="i", server_names=(name,), srn=name)
    assert [*exporting.check(as_csv([certificate], up_to=1))] == []


def test_export_that_is_no_csv_is_reported_as_changed(export: Callable[..., str]) -> None:
    lines = export(issued("0a")).splitlines(keepends=True)
    broken = "".join([lines[0], '"' + "x" * 200_000 + "\n", *lines[1:]])
    assert [each.split(":")[0] for each in verify(broken, keys()).wrong] == ["changed"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1+1", " =1", "\u00a0=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    certificate = Certificate(serial="0a", position=1, renewal_id="r", item_id="i", revocation_reason=text)
    export = as_csv([certificate], up_to=1)
    (row,) = csv.DictReader(io.StringIO(export.rpartition("# end")[0], newline=""))
    assert row["revocation_reason"] == f"'{text}"
    assert [*exporting.check(export)] == []


def lines(*numbers: int) -> str:
    return "".join(json.dumps(codec.to_json(at(number))) + "\n" for number in numbers)


def test_complete_file_of_signed_events_verifies() -> None:
    report = verify(lines(5, 6, 7, 8), keys())
    assert (report.what, report.wrong) == ("4 events, positions 5 to 8", [])
    assert verify(lines(5, 6, 6, 5, 7), keys()).wrong == [], "what comes again is no fault"


def test_faults_of_a_file_are_reported_by_line_and_position() -> None:
    tampered = lines(6).replace('"sequence": "1"', '"sequence": "2"')
    text = lines(4, 5) + tampered + lines(7, 9) + "no json\n" + lines(10)[:50]
    assert verify(text, keys()).wrong == [
        "line 3: forged at position 6: InvalidSignatureError",
        "line 6: truncated, or no JSON",
        "line 7: truncated, or no JSON",
        "gap: position 6 is missing",
        "gap: position 8 is missing",
    ]


def test_reordered_or_empty_file_fails_verification() -> None:
    assert verify(lines(5, 7, 6), keys()).wrong == ["line 3: position 6 comes after 7"]
    for text in (
        "",
        "\n",
        "[]",
        "[" * 5000,
        '{"a":' * 5000,
        json.dumps({"finding": "gap", "position": 1, "detail": ""}),
    ):
        assert verify(text, keys()).wrong, text


def test_event_text_cannot_imitate_a_finding() -> None:
    disguised = lines(6).replace("{", '{"finding": "gap", ', 1).replace('"sequence": "1"', '"sequence": "2"')
    assert verify(lines(5) + disguised, keys()).wrong == ["line 2: forged at position 6: InvalidSignatureError"]


def test_terminal_escapes_in_events_are_removed(tmp_path: Path) -> None:
    escape = "\x1b]0;title\x07\n\x9b2J\u202e 香港"
    finding = Finding(kind=Kind.UNREADABLE, position=None, detail=escape)
    for as_json in (True, False):
        out = io.StringIO()
        Printer(out, as_json=as_json)(finding)
        assert out.getvalue().removesuffix("\n").isprintable(), out.getvalue()
    assert printable(escape) == r"\x1b]0;title\x07\n\x9b2J\u202e 香港"


def test_verify_quotes_a_file_without_its_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events"
    file.write_text('{"\\u001b]0;x\\u0007": "\\u0001", "data_base64": "", "subject": "x"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEED_JWKS_FILE", str(EXAMPLES / "example-keys.json"))
        assert main(["verify", str(file)]) == 1
    assert r"ce_\x1b]0;x\x07 has a control character" in capsys.readouterr().out


def test_event_with_any_data_is_printed_as_one_line() -> None:
    out = io.StringIO()
    for data in (b"[]", b"7", b"null", b"[" * 100_000, b"\xff"):
        Printer(out, as_json=False)(replace(at(1), data=data))
    Printer(out, as_json=False)(replace(at(1), type="strange"))
    assert "issuance-withheld" in out.getvalue()
    assert "strange" in out.getvalue()


@pytest.mark.parametrize("text", ["{}", '{"position":"1"}', "[1]", "[", '{"data_base64":"%"}', "7", "\ufeff{}"])
def test_line_that_is_no_event_is_reported(text: str) -> None:
    assert verify(text, keys()).wrong


def test_published_examples_verify_as_a_batch() -> None:
    ring = KeyRing(lambda: KeySet.load(EXAMPLES / "example-keys.json"))
    report = verify((EXAMPLES / "examples.json").read_text("utf-8"), ring)
    assert (report.what, report.wrong) == ("11 events, positions 1041 to 1051", [])


def test_output_of_follow_can_be_verified(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        state = State(tmp_path / "state", FEED, baseline=None)
        printer = Printer(out, as_json=True)
        Follower(Given([[at(1), at(3), at(2)], [at(2)]]), state, keys(), printer).turn()
    report = verify((tmp_path / "out").read_text(), keys())
    assert (report.what, report.wrong) == ("3 events, positions 1 to 3", [])


def test_text_output_is_one_line_for_each_event(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        state = State(tmp_path / "state", FEED, baseline=None)
        Follower(Given([[at(1, issued("0a"))]]), state, keys(), Printer(out, as_json=False)).turn()
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert line.split() == [
        *("1", "2026-11-23T04:00:01Z", "certificate-issued", str(RENEWAL), "0a", "a.example.hk", "b.example.hk")
    ]
