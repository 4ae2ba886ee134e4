"""The drawing of the states is the code's."""

from devtools.docs import documents


def test_drawing_is_as_the_code_generates_it() -> None:
    assert documents.STATES.read_text("utf-8") == documents.states(), "make docs"


def test_every_state_can_be_reached() -> None:
    drawn = documents.states().splitlines()
    named = {line.rpartition(" as ")[2] for line in drawn if " as " in line}
    reached = {line.partition("--> ")[2].partition(":")[0] for line in drawn if "-->" in line}
    assert named <= reached
