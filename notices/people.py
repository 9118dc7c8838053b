"""Letters to one person about their own account, in their language."""

import secrets
from typing import Literal

from languages import reader_of
from models.accounts import User
from notices.mail import Letter
from notices.wording import letter_words

FactorChange = Literal["on", "off", "new_codes", "code_used"]


def new_password_letter(user: User, link: str) -> Letter:
    return _letter("new_password", user.language, user.email, link=link)


def password_changed_letter(user: User) -> Letter:
    return _letter("password_changed", user.language, user.email)


def confirm_email_letter(user: User, email: str, link: str) -> Letter:
    """To the new address: whoever can read it there may confirm it."""
    return _letter("confirm_email", user.language, email, link=link)


def email_change_asked_letter(user: User, email: str, address: str) -> Letter:
    """To the address that still counts, while its reader can prevent the change."""
    values = {"email": email, "link": _account_page(address)}
    return _letter("email_change_asked", user.language, user.email, **values)


def email_changed_letter(user: User, email: str) -> Letter:
    """To the old address."""
    return _letter("email_changed", user.language, user.email, email=email)


def second_factor_letter(user: User, change: FactorChange, address: str) -> Letter:
    values = {"change": change, "link": _account_page(address)}
    return _letter("second_factor_changed", user.language, user.email, **values)


def sign_up_letter(email: str, language: str, link: str) -> Letter:
    """To an address that someone wants to sign up with: only its reader can."""
    return _letter("sign_up", language, email, link=link)


def has_account_letter(user: User, address: str) -> Letter:
    """Someone wanted to sign up with an address that has an account; they aren't told that."""
    sign_in = f"{address.rstrip('/')}/sign-in"
    return _letter("has_account", user.language, user.email, address=sign_in)


def _account_page(address: str) -> str:
    return f"{address.rstrip('/')}/account"


def _letter(kind: str, language: str, to: str, **values: str) -> Letter:
    subject, body = letter_words(kind, reader_of(language), **values)
    return Letter([to], subject, body + "\n\n— DunaHub\n", f"account-{secrets.token_hex(8)}")
