"""The signed cookie of a session, judged by machines whose clocks need not agree."""

from datetime import UTC, datetime, timedelta

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature

CLOCKS_DIFFER = timedelta(minutes=10)  # with NTP it is milliseconds; a clock set right, minutes


class TolerantSessions(SecureCookieSessionInterface):
    """Takes a cookie that another machine signed a few minutes from now. Flask refuses those: with
    two machines whose clocks differ by seconds, people are signed out at every other page."""

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
