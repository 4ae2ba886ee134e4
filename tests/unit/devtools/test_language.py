"""Language check: each kind of fault is found where it stands, and correct texts pass."""

from pathlib import Path

import pytest

from devtools.language.__main__ import check
from devtools.language.rules import MAX_EXCEPTIONS, Exemption, Words, read_words

CORRECT = '''"""Outbox relay: sends events to Kafka."""

SENT = Counter("sent_total", "Events acknowledged by Kafka")
PROBLEM = Problem(404, "not-found", "Unknown renewal")


class Relay:
    """A relay of one database."""

    @property
    def lane(self):
        """The lane that it sends now."""


def publish(parser):
    """Publish a batch."""
    parser.add_argument("--actor", help="name of the operator")
    log.info("outbox.batch_sent")  # After commit.
    raise Unsendable(f"row {row} is too large")


def test_row_that_is_too_large_is_unsendable():
    publish(row)
'''


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        ('"""Publish a batch."""', '"""The batch that is published."""', 16, "start with a verb"),
        ('"""Publish a batch."""', '"""What is published."""', 16, "start with a verb"),
        ('"""Outbox relay: ', '"""What ', 1, "module starts with 'What'"),
        ('"""A relay of one', '"""Where one', 8, "class starts with 'Where'"),
        ('"""The lane that', '"""What', 12, "statement starts with 'What'"),
        ("Events acknowledged by Kafka", "What Kafka has", 3, "metric starts with 'What'"),
        ("Events acknowledged by Kafka", "Events acknowledged.", 3, "metric ends with a full stop"),
        ("name of the operator", "who does this", 17, "help starts with 'who'"),
        ("Unknown renewal", "This is no renewal", 4, "title starts with 'This'"),
        ("outbox.batch_sent", "Batch sent", 18, "log event is not of the form"),
        ("outbox.batch_sent", "outbox.left_out", 18, "'left out': write"),
        ("After commit.", "Set aside for now.", 18, "'Set aside': write"),
        ("is too large", "is set aside", 19, "'set aside': write"),
        ("is_unsendable", "is_left_out", 22, "'left out': write"),
        ("After commit.", "Set-aside events.", 18, "'Set aside': write"),
        ("def publish(", "def set_aside(", 15, "'set aside': write"),
        ("class Relay:", "class SetAside:", 7, "'Set Aside': write"),
        ('"""Publish a batch."""', '"""Publish a batch. Raises KeyError, or Gone if it is old."""', 16, "exist: Gone"),
        ('"""A relay of one', '"""A relay that raises errors.Gone.', 8, "exist: Gone"),
        (
            '"""Publish a batch."""',
            '"""Publish a batch.\n\n    Events are made\n    anew.\n    """',
            18,
            "'made anew': write",
        ),
    ],
)
def test_fault_of_each_kind_is_found_on_its_line(tmp_path: Path, old: str, new: str, line: int, rule: str) -> None:
    assert old in CORRECT
    (tmp_path / "relay.py").write_text(CORRECT.replace(old, new, 1))
    broken, _ = check(tmp_path, words())
    assert any(each.startswith(f"relay.py:{line}: ") and rule in each for each in broken), broken


def test_correct_file_passes(tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text(CORRECT)
    assert check(tmp_path, words()) == ([], set())


def test_exceptions_that_the_code_names_may_be_promised(tmp_path: Path) -> None:
    own = '"""Relay. Raises KeyError, Own and psycopg.Gone."""\n\nclass Own(psycopg.Gone):\n    """A fault."""\n'
    (tmp_path / "own.py").write_text(own)
    assert check(tmp_path, words()) == ([], set())


def test_comment_block_is_read_as_one_text(tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text("# An event is set\n# aside.\n")
    assert check(tmp_path, words())[0][0].startswith("relay.py:1: 'set aside': write ")


def test_document_is_read_without_its_code(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Events:\n\n```\nparked\n```\n\n`parked` is a name.\n\nAn event is parked.\n")
    assert [each.split(": ")[0] for each in check(tmp_path, words())[0]] == ["page.md:9"]


def test_comments_and_annotations_of_configuration_are_read(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("# parked\nparked: 1\nsummary: parked\n")
    assert [each.split(": ")[0] for each in check(tmp_path, words())[0]] == ["rules.yaml:1", "rules.yaml:3"]


def test_exception_covers_its_text_alone(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("A parked car.\n\nA parked event.\n")
    car = Exemption(path="page.md", text="parked car", reason="a car is parked")
    broken, needed = check(tmp_path, words(car))
    assert [each.split(": ")[0] for each in broken] == ["page.md:3"]
    assert needed == {car}


def test_list_of_words_with_too_many_exceptions_is_refused(tmp_path: Path) -> None:
    one = '[[exceptions]]\npath = "a"\ntext = "b"\nreason = "c"\n'
    (tmp_path / "words.toml").write_text(
        'paths = []\nwithout = []\nverbs = ""\nopeners = ""\nbanned = []\n' + one * (MAX_EXCEPTIONS + 1)
    )
    with pytest.raises(ValueError, match="at most"):
        read_words(tmp_path / "words.toml")


def words(*exceptions: Exemption) -> Words:
    """Return the repository's list of words, for a folder of its own."""
    ours = read_words()
    return Words((".",), (), ours.verbs, ours.openers, ours.banned, exceptions)
