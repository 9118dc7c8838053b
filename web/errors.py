"""Error pages: what happened, and what to do next."""

import logging

from flask import Flask, g, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadHost, HTTPException, InternalServerError, TooManyRequests

from web import drafts
from web.access import close_session

log = logging.getLogger(__name__)

PAGES = {400, 403, 404, 405, 413, 429, 500}


# In both languages, because reading the person's choice needs the database.
PLAIN = """<!doctype html><html lang="en"><title>Something went wrong · DunaHub</title>
<h1>Something went wrong here</h1><p>What you just did was probably not saved. Try again in a
minute.</p><p>If you write to us about this, name the reference <strong>{reference}</strong>.</p>
<div lang="pt-BR"><h2>Algo deu errado aqui</h2><p>O que você acabou de fazer provavelmente não foi
salvo. Tente de novo em um minuto.</p><p>Se nos escrever sobre isto, informe a referência
<strong>{reference}</strong>.</p></div>
"""


def register(app: Flask) -> None:
    app.register_error_handler(CSRFError, show_stale_form)
    app.register_error_handler(HTTPException, show_error)
    app.register_error_handler(Exception, show_failure)


def show_error(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < 400:
        return error
    if isinstance(error, BadHost):  # no page can be made without a good one
        return error
    code = error.code if error.code in PAGES else (500 if error.code >= 500 else 400)
    answer = make_response(_page(code, error.code))
    if isinstance(error, TooManyRequests):
        answer.headers["Retry-After"] = str(_patience(error))
    return answer


def _patience(error: TooManyRequests) -> int:
    """Seconds until a retry makes sense."""
    if isinstance(error, RateLimitExceeded):
        return error.limit.limit.get_expiry()
    return error.retry_after if isinstance(error.retry_after, int) else 60


def show_stale_form(error: CSRFError) -> ResponseReturnValue:
    """The session ended or changed: shows what was typed again, to be saved."""
    if _is_for_client():
        return _page("stale", 400)
    if not current_user.is_authenticated:
        return drafts.lead_to_sign_in() or _page("stale", 400)
    fields = drafts.sent_fields()
    if fields is None:
        return _page("stale", 400)
    address = request.full_path.rstrip("?")
    return render_template("accounts/draft.html", address=address, fields=fields), 400


def show_failure(error: Exception) -> ResponseReturnValue:
    """An unexpected error: logs the traceback and shows a friendly page with the same reference."""
    if isinstance(error, HTTPException):
        return show_error(error)
    reference = g.get("reference", "")
    route = request.url_rule.rule if request.url_rule else None  # a path may contain a secret link
    log.exception("Request failed", extra={"reference": reference, "route": route})
    close_session()  # its transaction may be what failed; rendering the page loads the user again
    g.pop("_login_user", None)
    try:
        return _page(500, InternalServerError.code)
    except Exception:  # rendering reads the user from the database, which may be down
        return PLAIN.format(reference=reference), 500


def _page(name: int | str, status: int | None) -> ResponseReturnValue:
    page = render_template(
        "error.html",
        name=str(name),
        reference=g.get("reference", ""),
        is_for_client=_is_for_client(),
    )
    return page, status or 500


def _is_for_client() -> bool:
    """Whether this is a page of a firm's client, who has no account with us."""
    return request.path.startswith("/i/")
