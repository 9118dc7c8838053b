"""Access control: sign-in, roles, and the organization and database session of a request.

Every route requires sign-in unless it is marked `public`. Each blueprint is also guarded by one of
the `…_only` functions below, so that a new view cannot forget the check.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, abort, current_app, g, has_request_context, redirect, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user, login_user, logout_user
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from languages import LANGUAGES
from models.accounts import AuditEvent, EndedSession, Organization, User
from processors.processor import Processor
from web.known_browsers import remember_browser

P = ParamSpec("P")
R = TypeVar("R")
Model = TypeVar("Model")

PASSWORD_FRESH_SECONDS = 10 * 60  # seconds after the password was entered
MAX_SESSION_IDLE = timedelta(days=14)  # without use
# after the password was entered, however often the session is used
MAX_SESSION_AGE = timedelta(days=30)

login_manager = LoginManager()


class DunaHub(Protocol):
    """The object that `app.py` puts at `app.extensions["dunahub"]`."""

    @property
    def config(self) -> Config: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def snapshots(self) -> Sessions: ...
    @property
    def processor(self) -> Processor | None: ...


def register(app: Flask) -> None:
    login_manager.init_app(app)
    login_manager.user_loader(load_user)
    app.before_request(refuse_strangers)
    app.teardown_appcontext(close_session)


def dunahub() -> DunaHub:
    return cast(DunaHub, current_app.extensions["dunahub"])


# --- The session of a request ---------------------------------------------------------------------


def session() -> Session:
    """The request's database session. Uncommitted changes are rolled back at the end.

    A page reads in one snapshot: what commits meanwhile is in all of it, or not yet in it, and no
    order of its statements matters. What such a request writes is `written_apart`.
    """
    if "session" not in g:
        g.session = dunahub().snapshots() if _only_reads() else dunahub().sessions()
    return cast(Session, g.session)


def _only_reads() -> bool:
    return has_request_context() and request.method in ("GET", "HEAD")


@contextmanager
def written_apart() -> Iterator[None]:
    """For what a page writes: in this block `session` and `note` use a transaction of their own,
    committed at its end. In the page's snapshot a write fails if someone has just written the same
    row."""
    page = session()
    try:
        with dunahub().sessions.begin() as g.session:
            yield
    finally:
        g.session = page


def close_session(_problem: BaseException | None = None) -> None:
    opened: Session | None = g.pop("session", None)
    if opened is not None:
        opened.close()


def step_out() -> None:
    """Ends the request's transaction before a call that waits for someone else (rule 8).

    Loaded objects stay readable; the next use of `session` begins a new transaction.
    """
    session().close()


# --- The person -----------------------------------------------------------------------------------


def load_user(session_id: str) -> User | None:
    """The signed-in person, unless this session or all of theirs were ended."""
    key, _, version = session_id.partition(":")
    if not key.isdigit() or not version.isdigit():
        return None
    user = session().get(User, int(key))
    if user is None or user.removed_at or user.session_version != int(version):
        return None
    if time.time() - cookie.get("signed_in_at", 0) > MAX_SESSION_AGE.total_seconds():
        return None
    name = cookie.get("session")
    if name is None or session().get(EndedSession, _digest(name)) is not None:
        return None
    g.signed_in_as = {"user": user.id, "organization": user.organization_id}  # for the request log
    return user


def sign_in(user: User) -> None:
    """Starts a new session, without anything the browser's old session held, and ends that one
    once the caller commits: copies of its cookie must not outlive the sign-out."""
    if (chosen := cookie.get("language")) in LANGUAGES:  # on the way in
        user.language = chosen
    _end_session()
    cookie.clear()
    cookie.permanent = True
    cookie["session"] = secrets.token_urlsafe(16)
    cookie["signed_in_at"] = int(time.time())
    login_user(user)
    remember_browser(user.email)


def confirm_password() -> None:
    """The same session, with a password that was typed now."""
    cookie["signed_in_at"] = int(time.time())


def sign_in_half(user: User) -> None:
    """After the password was right, before the second factor."""
    chosen = cookie.get("language")
    _end_session()
    cookie.clear()
    if chosen:
        cookie["language"] = chosen
    cookie["half"] = [user.id, user.session_version, int(time.time())]


def half_signed_in() -> User | None:
    """The person whose password was just accepted, unless it has changed since."""
    key, version, at = cookie.get("half", (0, 0, 0))
    user = session().get(User, key) if time.time() - at <= PASSWORD_FRESH_SECONDS else None
    if user is None or user.removed_at or user.session_version != version:
        return None
    return user


def sign_out() -> None:
    """Ends this session, including copies of its cookie, once the caller commits."""
    _end_session()
    logout_user()
    cookie.clear()


def _end_session() -> None:
    if "session" not in cookie:
        return
    # Cookies older than the longest session are refused by the date in them.
    too_old = EndedSession.ended_at < func.now() - 2 * MAX_SESSION_IDLE
    session().execute(delete(EndedSession).where(too_old))
    ended = insert(EndedSession).values(digest=_digest(cookie["session"]))
    session().execute(ended.on_conflict_do_nothing())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def person() -> User:
    return cast(User, current_user._get_current_object())


def visit(organization: Organization) -> None:
    """Shows a visitor with a link some of the firm's data in this
    request. They have no rights there, signed in or not."""
    g.visited_firm = organization


def is_visit() -> bool:
    return "visited_firm" in g


def current_organization() -> Organization | None:
    if is_visit():
        return cast(Organization, g.visited_firm)
    return person().organization if current_user.is_authenticated else None


def firm() -> Organization:
    """The organization whose records this request may see. DunaHub's staff have none."""
    organization = current_organization()
    if organization is None:
        abort(404)
    return organization


def own(model: type[Model], key: int, *, locked: bool = False) -> Model:
    """The firm's record with this key; 404 for another firm's (rule 18).

    With `locked`, the row is locked and reloaded, so that checks still hold at commit.
    """
    columns = model.__table__.c  # type: ignore[attr-defined]
    query = select(model).where(columns.id == key, columns.organization_id == firm().id)
    if locked:
        query = query.with_for_update(of=model).execution_options(populate_existing=True)
    record = session().scalars(query).one_or_none()
    if record is None:
        abort(404)
    return record


def lock_firm() -> None:
    """For what only one person of the firm may do at a time, until the commit. Saving and sending
    records goes on."""
    session().execute(
        select(Organization.id).where(Organization.id == firm().id).with_for_update(key_share=True)
    )


def note(
    action: str, *, reason: str | None = None, organization_id: int | None, **details: object
) -> None:
    """Adds an entry to the audit log, committed together with the act itself."""
    session().add(
        AuditEvent(
            organization_id=organization_id,
            user_id=person().id if current_user.is_authenticated else None,
            action=action,
            reason=reason,
            details=details,
        )
    )


# --- The doors ------------------------------------------------------------------------------------


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Marks a view as open to visitors who are not signed in."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def refuse_strangers() -> ResponseReturnValue | None:
    """Before every request: visitors see public pages only."""
    if request.endpoint is None or request.endpoint == "static":
        return None
    view = current_app.view_functions[request.endpoint]
    if getattr(view, "is_public", False) or current_user.is_authenticated:
        return None
    if request.headers.get("HX-Request"):
        abort(403)
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("accounts.show_sign_in", next=wanted))


def firms_only() -> None:
    """For pages of a firm's records, which DunaHub's staff cannot open."""
    firm()


def quickbooks_only() -> None:
    """For all QuickBooks pages: region BR has none of them (rule 19)."""
    if not firm().has_quickbooks:
        abort(404)


def admins_only() -> ResponseReturnValue | None:
    """For DunaHub's staff. These pages span organizations; every act is audited (rule 18)."""
    if not person().is_admin:
        abort(404)
    if needs_second_factor(person()) and person().totp_secret is None:
        return redirect(url_for("second_factor.show"), 303)
    return None


def needs_second_factor(user: User) -> bool:
    """DunaHub's staff see every firm, so a password is not enough. An exception is a developer's
    machine, where the books are simulated."""
    return user.is_admin and dunahub().config.environment != "simulator"


def owner_required(view: Callable[P, R]) -> Callable[P, R]:
    """For what only an owner may do; others get an explanation."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not person().is_owner:
            abort(403)
        return view(*args, **kwargs)

    return guarded


def books_required(view: Callable[P, R]) -> Callable[P, R]:
    """For what owners and bookkeepers may do: send again, skip, choose, compare."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not person().keeps_books:
            abort(403)
        return view(*args, **kwargs)

    return guarded


def safe_target(address: str | None, fallback: str) -> str:
    """A redirect target on our own site, whatever the link or form asked for."""
    if not address or "\\" in address or any(ord(character) < 32 for character in address):
        return fallback
    try:
        parts = urlsplit(address)
    except ValueError:  # "http://["
        return fallback
    if parts.scheme or parts.netloc or not parts.path.startswith("/") or address.startswith("//"):
        return fallback
    return address
