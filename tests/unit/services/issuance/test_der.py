"""DER as bytes: what is split is joined to the same bytes, and what is not DER is refused."""

import pytest

from services.issuance import der
from services.issuance.der import NotDER


@pytest.mark.parametrize(
    ("length", "header"),
    [(0, "3000"), (127, "307f"), (128, "308180"), (255, "3081ff"), (256, "30820100"), (65536, "3083010000")],
)
def test_length_takes_as_few_bytes_as_der_requires(length: int, header: str) -> None:
    content = b"x" * length
    made = der.element(0x30, content)
    assert made == bytes.fromhex(header) + content
    assert der.content(made, 0x30) == content
    assert der.elements(made + made) == [made, made]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "30",
        "300100",  # an element inside, cut
        "3003010101ff",
        "308101ff",
        "30820001ff",
        "3080",
        "30800000",
        "30ff",
        "3084ffffffff",
        "1f0100",
        "3f810100",
        "310101",
    ],
)
def test_bytes_that_are_not_one_element_in_der_are_refused(wrong: str) -> None:
    with pytest.raises(NotDER):
        der.elements(der.content(bytes.fromhex(wrong), 0x30))
