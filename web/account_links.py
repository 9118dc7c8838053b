"""Links that are mailed to one person: to a new password, to confirm an address, to sign up."""

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.orm import Session

from config import Config
from models.accountants import AccountantLink
from models.accounts import AccountLink, Invitation, LinkPurpose, SignUp, User

LINK_PREFIX = "lnk_"  # lets the log recognize and hide such links
LINK_LASTS = {LinkPurpose.PASSWORD: timedelta(minutes=30), LinkPurpose.EMAIL: timedelta(hours=24)}
SIGN_UP_LASTS = timedelta(hours=24)
_PATHS = {LinkPurpose.PASSWORD: "password", LinkPurpose.EMAIL: "email"}


def new_link(session: Session, user: User, purpose: LinkPurpose, email: str) -> str:
    """Stores a link for this address and returns its secret, which only the letter contains."""
    secret = new_secret()
    link = AccountLink(user_id=user.id, purpose=purpose, email=email, digest=digest(secret))
    session.add(link)
    return secret


def new_secret() -> str:
    return LINK_PREFIX + secrets.token_urlsafe(24)


def address_of(config: Config, secret: str, purpose: LinkPurpose = LinkPurpose.PASSWORD) -> str:
    return f"{config.base_url.rstrip('/')}/{_PATHS[purpose]}/{secret}"


def good_link(secret: str, purpose: LinkPurpose) -> list[ColumnElement[bool]]:
    """SQL conditions of a link that still works."""
    return [
        AccountLink.digest == digest(secret),
        AccountLink.purpose == purpose,
        AccountLink.used_at.is_(None),
        AccountLink.created_at > func.clock_timestamp() - LINK_LASTS[purpose],
        AccountLink.user.has(User.removed_at.is_(None)),
    ]


def end_access(session: Session, user: User) -> None:
    """Ends a person's sessions, and their links: someone else may have asked for one in a session
    of theirs, and a link to another address would give that person the account."""
    user.session_version += 1
    end_links(session, user)


def end_links(session: Session, user: User) -> None:
    """Ends all of a person's links, after one was used or the password changed."""
    session.execute(
        update(AccountLink)
        .where(AccountLink.user_id == user.id, AccountLink.used_at.is_(None))
        .values(used_at=func.clock_timestamp())
    )


def end_grants(session: Session, user: User) -> None:
    """Ends what a person gave to others as an owner: open invitations, and links for accountants.
    A person who must not act any longer could have made them for themselves."""
    session.execute(
        update(Invitation)
        .where(
            Invitation.invited_by_id == user.id,
            Invitation.accepted_at.is_(None),
            Invitation.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=func.clock_timestamp())
    )
    session.execute(
        update(AccountantLink)
        .where(AccountantLink.created_by_id == user.id, AccountantLink.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
    )


def new_sign_up(session: Session, email: str) -> str:
    """Stores that someone wants to sign up with this address; returns the secret of the link."""
    too_old = SignUp.created_at < func.clock_timestamp() - SIGN_UP_LASTS
    session.execute(delete(SignUp).where(too_old))
    secret = new_secret()
    session.add(SignUp(email=email, digest=digest(secret)))
    return secret


def address_of_sign_up(config: Config, secret: str) -> str:
    return f"{config.base_url.rstrip('/')}/sign-up/{secret}"


def good_sign_up(secret: str) -> list[ColumnElement[bool]]:
    """Conditions of a link that still works, or was used."""
    in_time = SignUp.created_at > func.clock_timestamp() - SIGN_UP_LASTS
    return [SignUp.digest == digest(secret), in_time]


def end_sign_ups(session: Session, email: str) -> None:
    """Ends all links to sign up with this address, after one was used."""
    session.execute(
        update(SignUp)
        .where(func.lower(SignUp.email) == email.lower(), SignUp.used_at.is_(None))
        .values(used_at=func.clock_timestamp())
    )


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
