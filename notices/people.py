"""Letters to one person about their own account, in their language."""

import secrets

from languages import reader_of
from models.accounts import User
from notices.mail import Letter
from notices.wording import letter_words


def new_password_letter(user: User, link: str) -> Letter:
    return _letter("new_password", user, user.email, link=link)


def password_changed_letter(user: User) -> Letter:
    return _letter("password_changed", user, user.email)


def confirm_email_letter(user: User, email: str, link: str) -> Letter:
    """To the new address: whoever can read it there may confirm it."""
    return _letter("confirm_email", user, email, link=link)


def email_changed_letter(user: User, email: str) -> Letter:
    """To the old address."""
    return _letter("email_changed", user, user.email, email=email)


def _letter(kind: str, user: User, to: str, **values: str) -> Letter:
    subject, body = letter_words(kind, reader_of(user.language), **values)
    return Letter([to], subject, body + "\n\n— DunaHub\n", f"account-{secrets.token_hex(8)}")
