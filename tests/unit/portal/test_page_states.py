"""The catalogue of states, whose pages axe and the HTML checker look at: it is whole, and no page is there twice."""

import re
from pathlib import Path

import flask

import portal
from tests.unit.portal.page_states import states
from tests.unit.portal.stub_api import StubAPI
from tests.unit.portal.stub_api import portal as the_portal

# A form's own key is another one each time.
ONCE = re.compile('name="once" value="[0-9a-f]{32}"')
# What other templates are made of.
PARTS = {"base.html", "parts.html", "csr_parts.html", "domain_parts.html"}


def test_every_template_is_shown_in_some_state() -> None:
    shown: set[str] = set()
    app = the_portal(StubAPI())

    def note(_: object, template: object, **__: object) -> None:
        shown.add(str(getattr(template, "name", "")))

    with flask.template_rendered.connected_to(note, app):
        for state in states():
            state.show("en")
    assert shown == {file.name for file in (Path(portal.__file__).parent / "templates").glob("*.html")} - PARTS


def test_every_state_has_a_different_page() -> None:
    pages: dict[str, str] = {}
    for state in states():
        page = ONCE.sub("", state.show("en").text)
        assert page not in pages, f"{state.name} shows what {pages[page]} shows"
        pages[page] = state.name
