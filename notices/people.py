"""Letters to one person about their own account, in their language."""

import secrets

from languages import N_, reader_of
from models.accounts import User
from notices.mail import Letter


def new_password_letter(user: User, link: str) -> Letter:
    """Carries the link to a new password."""
    return _letter(
        user,
        user.email,
        N_("A new password for DunaHub"),
        N_("Someone asked for a new password for your DunaHub account. Choose one here: {link}"),
        N_("The link works once, for 30 minutes. If it wasn't you, do nothing."),
        link=link,
    )


def password_changed_letter(user: User) -> Letter:
    return _letter(
        user,
        user.email,
        N_("Your DunaHub password was changed"),
        N_("The password of your DunaHub account was changed, and you were signed out elsewhere."),
        N_(
            "If it wasn't you, choose a new one at once with “Forgot your password?” on the"
            " sign-in page, and tell an owner of your organization."
        ),
    )


def confirm_email_letter(user: User, email: str, link: str) -> Letter:
    """To the new address: whoever reads it there may confirm it."""
    return _letter(
        user,
        email,
        N_("Confirm your e-mail address for DunaHub"),
        N_("Open this link to sign in to DunaHub with this address from now on: {link}"),
        N_("The link works once, for 24 hours. If you don't have an account there, do nothing."),
        link=link,
    )


def email_changed_letter(user: User, email: str) -> Letter:
    """To the address as it was before."""
    return _letter(
        user,
        user.email,
        N_("Your DunaHub e-mail address was changed"),
        N_("From now on you sign in to DunaHub with {email}."),
        N_("If it wasn't you, tell an owner of your organization."),
        email=email,
    )


def _letter(user: User, to: str, subject: str, *sentences: str, **values: str) -> Letter:
    say = reader_of(user.language).say
    body = "\n\n".join(say(sentence).format(**values) for sentence in sentences)
    name = f"account-{secrets.token_hex(8)}"
    return Letter([to], say(subject), body + "\n\n— DunaHub\n", name)
