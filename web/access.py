"""Who may come in: sign-in, roles, the organization and the database session of a request.

Every route is closed to strangers unless it is marked `public`. Beyond that each blueprint stands
behind one of the doors below, so that a new view cannot forget to ask.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, abort, current_app, g, redirect, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user, login_user, logout_user
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import AuditEvent, EndedSession, Organization, User
from processors.processor import Processor
from web.known_browsers import remember_browser

P = ParamSpec("P")
R = TypeVar("R")
Model = TypeVar("Model")

FRESH = 10 * 60  # seconds since the password was typed
LONGEST_SESSION = timedelta(days=14)  # without use
SESSION_ENDS = timedelta(days=30)  # since the password was typed, however much it is used

login_manager = LoginManager()


class DunaHub(Protocol):
    """What `app.py` leaves at `app.extensions["dunahub"]`."""

    @property
    def config(self) -> Config: ...
    @property
    def sessions(self) -> Sessions: ...
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
    """The request's one database session. What was not committed is rolled back at its end."""
    if "session" not in g:
        g.session = dunahub().sessions()
    return cast(Session, g.session)


def close_session(_problem: BaseException | None = None) -> None:
    opened: Session | None = g.pop("session", None)
    if opened is not None:
        opened.close()


def step_out() -> None:
    """Ends the request's transaction before someone else is waited for (rule 8).

    What was loaded stays readable; the next use of `session` begins anew.
    """
    session().close()


# --- The person -----------------------------------------------------------------------------------


def load_user(session_id: str) -> User | None:
    """The signed-in person, unless this session, or all of theirs, ended since."""
    key, _, version = session_id.partition(":")
    if not key.isdigit() or not version.isdigit():
        return None
    user = session().get(User, int(key))
    if user is None or user.removed_at or user.session_version != int(version):
        return None
    if time.time() - cookie.get("signed_in_at", 0) > SESSION_ENDS.total_seconds():
        return None
    name = cookie.get("session")
    if name is None or session().get(EndedSession, _digest(name)) is not None:
        return None
    g.signed_in_as = {"user": user.id, "organization": user.organization_id}  # for the log
    return user


def sign_in(user: User) -> None:
    """Begins a session of its own: nothing of what the browser held before lives on."""
    cookie.clear()
    cookie.permanent = True
    cookie["session"] = secrets.token_urlsafe(16)
    cookie["signed_in_at"] = int(time.time())
    login_user(user)
    remember_browser(user.email)


def sign_in_half(user: User) -> None:
    """The password was right; the second factor is still to come."""
    cookie.clear()
    cookie["half"] = [user.id, user.session_version, int(time.time())]


def half_signed_in() -> User | None:
    """Whose password was right a moment ago, unless it was changed since."""
    key, version, at = cookie.get("half", (0, 0, 0))
    user = session().get(User, key) if time.time() - at <= FRESH else None
    if user is None or user.removed_at or user.session_version != version:
        return None
    return user


def sign_out() -> None:
    """Ends the session, here and in every copy of its cookie, once the caller commits."""
    # Copies that are older than the longest session are refused by the date they carry.
    too_old = EndedSession.ended_at < func.now() - 2 * LONGEST_SESSION
    session().execute(delete(EndedSession).where(too_old))
    ended = insert(EndedSession).values(digest=_digest(cookie["session"]))
    session().execute(ended.on_conflict_do_nothing())
    logout_user()
    cookie.clear()


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def person() -> User:
    return cast(User, current_user._get_current_object())


def visit(organization: Organization) -> None:
    """A stranger with a link of the firm sees something of it, for this request; signed in or not,
    they are nobody there."""
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
    """The firm's record with this key. Another firm's does not exist here (rule 18).

    Locked until commit, it is read as it is now: what is decided about it still holds when saved.
    """
    columns = model.__table__.c  # type: ignore[attr-defined]
    query = select(model).where(columns.id == key, columns.organization_id == firm().id)
    if locked:
        query = query.with_for_update(of=model).execution_options(populate_existing=True)
    record = session().scalars(query).one_or_none()
    if record is None:
        abort(404)
    return record


def note(
    action: str, *, reason: str | None = None, organization_id: int | None, **details: object
) -> None:
    """Writes into the audit record who does this. Committed with the act itself."""
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
    """Marks a view that strangers may open."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def refuse_strangers() -> ResponseReturnValue | None:
    """Before every request: strangers see public pages only."""
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
    """Door of what a firm works with: DunaHub's staff find nothing behind it."""
    firm()


def quickbooks_only() -> None:
    """Door of everything about QuickBooks: in region BR there is no such thing (rule 19)."""
    if not firm().has_quickbooks:
        abort(404)


def admins_only() -> ResponseReturnValue | None:
    """Door of DunaHub's own pages. They span organizations, each act is audited (rule 18)."""
    if not person().is_admin:
        abort(404)
    if needs_second_factor(person()) and person().totp_secret is None:
        return redirect(url_for("second_factor.show"), 303)
    return None


def needs_second_factor(user: User) -> bool:
    """DunaHub's staff see every firm, so a password alone is too little; except on a developer's
    machine, where the books are simulated."""
    return user.is_admin and dunahub().config.environment != "simulator"


def owner_required(view: Callable[P, R]) -> Callable[P, R]:
    """For what only an owner of the firm may do; a member is told so."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not person().is_owner:
            abort(403)
        return view(*args, **kwargs)

    return guarded


def books_required(view: Callable[P, R]) -> Callable[P, R]:
    """For what owners and bookkeepers do: send again, skip, choose, compare."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not person().keeps_books:
            abort(403)
        return view(*args, **kwargs)

    return guarded


def fresh_required(view: Callable[P, R]) -> Callable[P, R | ResponseReturnValue]:
    """For what grants power or takes data out: a session left open for long asks for the password,
    so that whoever finds the browser, or has its cookie, can't make themselves at home."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | ResponseReturnValue:
        if time.time() - cookie.get("signed_in_at", 0) <= FRESH:
            return view(*args, **kwargs)
        came_from = urlsplit(request.referrer or "").path
        back = request.full_path.rstrip("?") if request.method == "GET" else came_from
        return redirect(url_for("accounts.show_confirm", next=back or None), 303)

    return guarded


def safe_target(address: str | None, fallback: str) -> str:
    """An address of our own to go on to, whatever the link or form asked for."""
    if not address or "\\" in address or any(ord(character) < 32 for character in address):
        return fallback
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not parts.path.startswith("/") or address.startswith("//"):
        return fallback
    return address
