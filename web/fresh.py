"""Asks for the password again before actions that an old session may not do."""

import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import flash, redirect, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue

from web import drafts
from web.access import PASSWORD_FRESH_SECONDS
from web.languages import _

P = ParamSpec("P")
R = TypeVar("R")


def fresh_required(view: Callable[P, R]) -> Callable[P, R | ResponseReturnValue]:
    """For actions that grant power, say where money goes, or export data: asks for the password
    again if it was entered long ago, so that a stolen browser or cookie is not enough.

    A form that was filled in is kept and shown again afterwards."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | ResponseReturnValue:
        if time.time() - cookie.get("signed_in_at", 0) <= PASSWORD_FRESH_SECONDS:
            return view(*args, **kwargs)
        back = drafts.keep() or _came_from()
        if any(upload.filename for upload in request.files.values()):
            flash(_("The file wasn't kept. Choose it again."), "warn")
        return redirect(url_for("accounts.show_confirm", next=back or None), 303)

    return guarded


def _came_from() -> str:
    if request.method == "GET":
        return request.full_path.rstrip("?")
    try:
        return urlsplit(request.referrer or "").path
    except ValueError:  # "http://["
        return ""
