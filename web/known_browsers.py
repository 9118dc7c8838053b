"""Recognizes browsers in which someone has signed in before, by a signed cookie."""

import hashlib
import secrets
from datetime import timedelta
from typing import cast

from flask import Response, after_this_request, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer

COOKIE_LASTS = timedelta(days=400)  # the longest that browsers keep a cookie


def digest_of(email: str) -> str:
    """A digest of the normalized address."""
    return hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()


def remember_browser(email: str) -> None:
    """Sets a cookie: this address has signed in in this browser."""
    if known_browser(email):
        return
    mark = _signer().dumps([digest_of(email), secrets.token_urlsafe(12)])

    @after_this_request
    def _keep(response: Response) -> Response:
        response.set_cookie(
            _cookie_name(),
            mark,
            max_age=COOKIE_LASTS,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def known_browser(email: str) -> str | None:
    """The cookie's mark, if this address has signed in in this browser before."""
    try:
        whose, mark = _signer().loads(request.cookies.get(_cookie_name(), ""))
    except (BadSignature, ValueError, TypeError):
        return None
    return str(mark) if whose == digest_of(email) else None


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(cast(str, current_app.secret_key), salt="known-browser")


def _cookie_name() -> str:
    return f"{current_app.config['SESSION_COOKIE_NAME']}_known"
