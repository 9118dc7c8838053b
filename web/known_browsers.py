"""Browsers in which somebody signed in before, known by a signed cookie."""

import hashlib
import secrets
from datetime import timedelta
from typing import cast

from flask import Response, after_this_request, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer

REMEMBERED = timedelta(days=400)  # the longest that browsers keep a cookie


def digest_of(email: str) -> str:
    """An address as it is counted, however it was typed."""
    return hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()


def remember_browser(email: str) -> None:
    """Marks the browser that gets this answer: whoever signs in with this address did so there."""
    if known_browser(email):
        return
    mark = _signer().dumps([digest_of(email), secrets.token_urlsafe(12)])

    @after_this_request
    def _keep(response: Response) -> Response:
        response.set_cookie(
            _cookie_name(),
            mark,
            max_age=REMEMBERED,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def known_browser(email: str) -> str | None:
    """The mark of the browser that asks, if this address signed in there before."""
    try:
        whose, mark = _signer().loads(request.cookies.get(_cookie_name(), ""))
    except (BadSignature, ValueError, TypeError):
        return None
    return str(mark) if whose == digest_of(email) else None


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(cast(str, current_app.secret_key), salt="known-browser")


def _cookie_name() -> str:
    return f"{current_app.config['SESSION_COOKIE_NAME']}_known"
