"""Documentation of the feed for outside readers is correct: examples, guide, page, and the script that verifies."""

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.gateway.rules import PROBLEMS
from devtools.docs.feed import documents, examples
from services.issuance.feed import api, schemas
from services.issuance.feed.head import MAX_CONCURRENT_REQUESTS
from services.issuance.feed.store import FEED
from shared.events.base import FEEDS
from shared.events.registry import ALL
from shared.messaging import codec, feed_signature
from shared.messaging.outbox import MAX_DATA_BYTES
from shared.security.tokens import KeySet
from shared.web import problems

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / documents.FOLDER
GUIDE = (FOLDER / "README.md").read_text("utf-8")
BATCH: list[dict[str, str]] = json.loads((FOLDER / "examples.json").read_text("utf-8"))
KEYS = KeySet.load(FOLDER / "example-keys.json")


def test_every_event_of_the_feed_has_an_example() -> None:
    assert {each["type"] for each in BATCH} == {name for name, event in ALL.items() if event.TOPIC in FEEDS}
    assert {FEED} == FEEDS


@pytest.mark.parametrize("example", BATCH, ids=lambda example: example["type"])
def test_example_is_as_the_feed_would_serve_it(example: dict[str, str]) -> None:
    jsonschema.Draft202012Validator({**schemas.BATCH["items"], "additionalProperties": False}).validate(example)
    attributes = {name: value for name, value in example.items() if name not in ("datacontenttype", "data_base64")}
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    data = base64.b64decode(example["data_base64"])
    envelope = codec.from_record(FEED, example["subject"].encode(), headers, data)
    assert codec.to_json(envelope) == example
    assert feed_signature.verify(envelope, KEYS) == examples.key().kid
    schema: Any = json.loads((FOLDER / f"{example['type']}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(json.loads(data))


def verify(example: dict[str, str], data: Path, **changes: str) -> tuple[int, str]:
    """Return what the guide's script says of it."""
    data.write_bytes(base64.b64decode(example["data_base64"]))
    names = ("id", "source", "type", "subject", "sequence", "position", "time", "dataschema", "signature")
    attributes = {"feed": FEED.value, **{name: example[name] for name in names}, **changes}
    command = ["sh", "verify.sh", "example-keys.json", str(data), *(f"{n}={v}" for n, v in attributes.items())]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip() or done.stderr


@pytest.mark.parametrize("example", BATCH, ids=lambda example: example["type"])
def test_guides_script_verifies_examples_with_openssl(example: dict[str, str], tmp_path: Path) -> None:
    assert verify(example, tmp_path / "data") == (0, f"good {examples.key().kid}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"position": "1042"}, "not as it was signed"),
        ({"sequence": "2"}, "not as it was signed"),
        ({"feed": "payment.events"}, "not as it was signed"),
        ({"time": "2026-11-23T04:05:06.789013Z"}, "not as it was signed"),
        ({"signature": BATCH[1]["signature"]}, "not as it was signed"),
        ({"signature": "x"}, "no JWS"),
        ({"signature": "a.b.c"}, "no JWS"),
        ({"signature": BATCH[0]["signature"][:-10]}, "no JWS"),
        ({"signature": "eyJhbGciOiJub25lIn0.."}, "another algorithm"),
        ({"signature": "eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJ0eXAiOiJhdCtqd3QifQ..AA"}, "another kind"),
        ({"signature": "eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJ0eXAiOiJmZWVkLWV2ZW50K2p3cyJ9..AA"}, "not published"),
        ({"type": 'x","type":"y'}, "no attribute has"),
        ({"colour": "red"}, "unknown name"),
    ],
    ids=lambda value: next(iter(value.items()))[1][:12] if isinstance(value, dict) else "",
)
def test_guides_script_refuses_an_unsigned_event(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    status, words = verify(BATCH[0], tmp_path / "data", **changes)
    assert status != 0
    assert said in words


def test_guide_explains_every_problem() -> None:
    table = GUIDE.split("## When you are refused")[1].split("\n## ")[0]
    told = {slug for row in table.splitlines() if row.startswith("| `") for slug in re.findall(r"`([a-z-]+)`", row)}
    own = {problem.slug for problem in api.PROBLEMS.values()}
    common = {problems.INVALID.slug, problems.MALFORMED.slug, problems.UNAVAILABLE.slug, PROBLEMS[504][0]}
    assert told - {"head"} == own | common


def test_guide_numbers_are_those_of_the_code() -> None:
    (topic,) = [
        each
        for each in yaml.safe_load_all((ROOT / "deploy/k8s/overlays/production/kafka/topics.yaml").read_text("utf-8"))
        if each["metadata"]["name"] == FEED
    ]
    days = int(topic["spec"]["config"]["retention.ms"]) // 86_400_000
    assert f"| kept | {days} days |" in GUIDE
    assert f"(after {days} days)" in GUIDE
    assert f"`limit` is 1 to {schemas.MAX_LIMIT}" in GUIDE
    assert f"`wait` is 0 to {schemas.MAX_WAIT_SECONDS} seconds" in GUIDE
    assert f"at most {MAX_DATA_BYTES:,} bytes" in GUIDE
    assert api.PAGE_BYTES == 2**20
    assert (MAX_CONCURRENT_REQUESTS, "Four requests of one certificate" in GUIDE) == (4, True)


def test_guide_lists_the_signed_attributes() -> None:
    form = GUIDE.split("```json\n")[1].split("\n```")[0]
    assert {*json.loads(form)} == {*feed_signature.SIGNED, "feed", "datasha256"}
    assert form.replace("…", "") == json.dumps(
        dict.fromkeys(json.loads(form), "") | {"feed": FEED.value}, sort_keys=True, separators=(",", ":")
    )


def test_links_of_the_guide_and_the_page_exist() -> None:
    page = (FOLDER / "index.html").read_text("utf-8")
    links = {*re.findall(r"\]\(([^)#]+)\)", GUIDE), *re.findall(r'href="([^"#]+)"', page)}
    assert len(links) > 20
    assert [link for link in links if not (FOLDER / link).exists()] == []
    anchors = {*re.findall(r'href="#([^"]+)"', page)}
    assert anchors <= {*re.findall(r'id="([^"]+)"', page)}
