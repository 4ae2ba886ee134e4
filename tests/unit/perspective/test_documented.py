"""docs/perspectives.md and the code say the same."""

import re
from pathlib import Path

from perspective import fetcher
from shared.pki import observations
from shared.pki.observations import Inquiry, Reason, Report, read_inquiry, read_report

PAGE = (Path(__file__).parents[3] / "docs/perspectives.md").read_text()


def test_page_explains_each_reason_once() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("## Reasons")[2], re.MULTILINE) == [
        each.value for each in Reason
    ]


def test_examples_are_readable() -> None:
    asked, answered = (example.encode() for example in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    inquiry, report = read_inquiry(asked), read_report(answered)
    assert isinstance(inquiry, Inquiry)
    assert isinstance(report, Report)
    assert report.attempt_id == inquiry.attempt_id


def test_limits_are_those_of_the_code() -> None:
    limits = dict(re.findall(r"^\| ([a-zA-Z ]+) \| ([0-9,]+)", PAGE, re.MULTILINE))
    assert {name: int(value.replace(",", "")) for name, value in limits.items()} == {
        "questions of a request": observations.MAX_QUESTIONS,
        "text of an observation": observations.MAX_TEXT,
        "TXT records": observations.MAX_VALUES,
        "CAA records": observations.MAX_RECORDS,
        "CNAME records in a row": 8,
        "body of a file": fetcher.MAX_BODY_BYTES,
        "redirects": fetcher.MAX_REDIRECTS,
    }
