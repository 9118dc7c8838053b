"""Names chosen by strangers never become links in our letters."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Config
from notices.mail import Letter, _message
from notices.quoting import MAX_NAME_LENGTH, plain_name, quoted

PLAIN = Letter(["kim@x.example"], "Hello", "Hello", "n")
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


@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?q?=0d=0aBcc:_evil@x.example?=",
        "=?utf-8?q?security=40paypal=2ecom?=",
        "=?utf-8?b?DQpCY2M6IHg=?= =?utf-8?b?DQpCY2M6IHg=?=",
        "＝？utf-8?q?=0d=0aX?=",
        "Rivera\r\nBcc: evil@x.example",
    ],
)
def test_case_s09_a_sender_or_subject_is_never_decoded(config: Config, name: str) -> None:
    mails = replace(config, mail_from="DunaHub <mail@dunahub.example>")
    letter = Letter(["kim@x.example"], f"“{name}” invites you", "Hello", "n", sender=name)
    written = _message(mails, letter).as_bytes(policy=SMTP)
    read = message_from_bytes(written, policy=SMTP)
    assert set(read) == set(message_from_bytes(_message(mails, PLAIN).as_bytes(policy=SMTP)))
    assert "via DunaHub" in str(read["From"])
    assert str(read["From"]).endswith(" <mail@dunahub.example>")
    assert "paypal.com" not in str(read["From"])
    assert read.get_payload() == "Hello\r\n"


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
