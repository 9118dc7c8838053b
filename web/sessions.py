"""Signed session cookies that tolerate clock differences between machines."""

from datetime import UTC, datetime, timedelta

from flask import Flask, Request, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature

CLOCKS_DIFFER = timedelta(minutes=10)  # milliseconds with NTP; minutes when a clock is corrected


class TolerantSessions(SecureCookieSessionInterface):
    """Accepts a cookie that another machine signed a few minutes in the future. Flask refuses it,
    so with two machines whose clocks differ by seconds, people would be signed out at random."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        signed = request.cookies.get(self.get_cookie_name(app))
        serializer = self.get_signing_serializer(app)
        if not signed or serializer is None:
            return self.session_class()
        try:
            content, signed_at = serializer.loads(signed, return_timestamp=True)
        except BadSignature:
            return self.session_class()
        age = datetime.now(UTC) - signed_at
        if -CLOCKS_DIFFER <= age <= app.permanent_session_lifetime:
            return self.session_class(content)
        return self.session_class()


def ended_session_id() -> str:
    """Whose session the browser's cookie was, however old it is; "" if it isn't one of ours."""
    signed = request.cookies.get(current_app.config["SESSION_COOKIE_NAME"], "")
    serializer = TolerantSessions().get_signing_serializer(current_app)
    try:
        content = serializer.loads(signed) if serializer else {}
    except BadSignature:
        return ""
    return str(content.get("_user_id", ""))
