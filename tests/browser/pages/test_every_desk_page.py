"""Every page of the desk in every state: no barrier, no invalid HTML, nothing wider than the window."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.pages import desk_states
from tests.browser.pages.checks import SMALL, nu_html_checker
from tests.browser.pages.desk_states import Desks
from tests.browser.pages.reader import Reader
from tests.support.engines import Postgres

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def desks(postgres: Postgres) -> Iterator[Desks]:
    """A desk that has seen much, and a new one."""
    with desk_states.opened(postgres) as both:
        yield both


def test_pages_pass_axe_do_not_scroll_sideways_and_are_valid_html(desks: Desks, reader: Reader, tmp_path: Path) -> None:
    barriers, wide = [], {}
    for number, state in enumerate(desks.states):
        answer = state.show()
        (tmp_path / f"{number:03d} {state.name.replace('/', ' ')}.html").write_bytes(answer.data)
        reader.load(state.address, answer)
        barriers += [f"{state.name}: {barrier}" for barrier in reader.barriers()]
        reader.page.set_viewport_size(SMALL)
        if reader.width() > SMALL["width"]:
            wide[state.name] = reader.width()
        reader.page.set_viewport_size({"width": 1280, "height": 1024})
    assert not barriers, "\n".join(barriers)
    assert not wide, wide
    found = nu_html_checker(tmp_path)
    assert not found, "\n".join(found)
