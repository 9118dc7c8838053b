"""Choosing the language of the pages."""

from flask import Blueprint, abort, redirect, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_babel import refresh
from flask_login import current_user

from languages import LANGUAGES
from web.access import person, public, safe_target, session

languages = Blueprint("languages", __name__)


@languages.post("/language")
@public
def choose() -> ResponseReturnValue:
    """Stored in the account; for visitors in the browser."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        abort(400)
    if current_user.is_authenticated:
        person().language = chosen
        session().commit()
    else:
        cookie["language"] = chosen
    refresh()
    return redirect(safe_target(request.form.get("next"), url_for("home.show")), 303)
