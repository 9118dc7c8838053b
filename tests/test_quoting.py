"""Names chosen by strangers never become links in our letters."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notices.quoting import MAX_NAME_LENGTH, plain_name, quoted

LINK = re.compile(r"://|www\.\S|\w\.\w|\S@\S", re.IGNORECASE)


@pytest.mark.parametrize(
    "name",
    [
        "Click https://evil.example/ to keep your account",
        "evil.example",
        "www.evil.example/login",
        "mail me@evil.example now",
        "line one\r\nBcc: everyone@evil.example\r\n\r\nDear customer",
        "evil。example",
        "evil\u2024example",
        "evil\u200b.example",
        "\u202ehttp://live",
        "” invites you. “",
        "x" * 500,
    ],
)
def test_case_s09_a_name_in_a_letter_is_one_short_line_and_no_link(name: str) -> None:
    shown = plain_name(name)
    assert not LINK.search(shown), shown
    assert len(shown) <= MAX_NAME_LENGTH
    assert len(shown.splitlines()) == 1
    assert "“" not in shown
    assert "”" not in shown


@given(st.text(max_size=200))
def test_case_s09_no_name_makes_a_link(name: str) -> None:
    shown = plain_name(name)
    assert not LINK.search(shown)
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    "name", ["Rivera Plumbing LLC", "O'Brien & Sons, Inc.", "José Conceição", "J. R. Smith (Reno)"]
)
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert quoted(name) == f"“{name}”"
