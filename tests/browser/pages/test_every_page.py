"""Every page in every state, language and text mode: no barrier, no invalid HTML, nothing wider than the window."""

from pathlib import Path

import pytest

from tests.browser.pages.checks import SMALL, nu_html_checker
from tests.browser.pages.reader import Reader
from tests.unit.portal.page_states import EDITIONS, states

# English is looked at in every run, the rest in the slow one.
EACH_EDITION = [
    pytest.param(edition, marks=() if edition == "en" else pytest.mark.slow, id=edition) for edition in EDITIONS
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("edition", EACH_EDITION)
def test_pages_pass_axe(reader: Reader, edition: str) -> None:
    found = []
    for state in states():
        reader.show(state, edition)
        found += [f"{state.name}: {barrier}" for barrier in reader.barriers()]
    assert not found, "\n".join(found)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("edition", EACH_EDITION)
def test_pages_do_not_scroll_sideways_at_400_percent(reader: Reader, edition: str) -> None:
    reader.page.set_viewport_size(SMALL)
    wide = {}
    for state in states():
        reader.show(state, edition)
        if reader.width() > SMALL["width"]:
            wide[state.name] = reader.width()
    assert not wide, wide


@pytest.mark.timeout(300)
def test_html_and_styles_of_every_page_are_valid(tmp_path: Path) -> None:
    for edition in EDITIONS:
        for number, state in enumerate(states()):
            file = tmp_path / edition.replace("/", "-") / f"{number:03d} {state.name.replace('/', ' ')}.html"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(state.show(edition).data)
    found = nu_html_checker(tmp_path)
    assert not found, "\n".join(found)
