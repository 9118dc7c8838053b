"""Intuit's sign-in: its endpoints, and the three calls to them.

Uses requests-oauthlib. Answers are interpreted from the raw response before oauthlib sees it,
because its exceptions lose the status and report an outage's HTML page as a missing token.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from config import Config
from logs import redact
from quickbooks import client

SCOPE = "com.intuit.quickbooks.accounting"
TOKEN_DEADLINE = 10.0  # seconds; a refresh holds a row lock while it waits
REVOKE_DEADLINE = 5.0  # seconds; a person waits, and a job retries later
DISCOVERY = {
    "production": "https://developer.api.intuit.com/.well-known/openid_configuration",
    "sandbox": "https://developer.api.intuit.com/.well-known/openid_sandbox_configuration",
}
DISCOVERY_LASTS = 86_400.0  # seconds
# Asks Intuit to say when the sign-in ends permanently; without it the field is missing.
_HARD_EXPIRY_ASKED = {"x-include-refresh-token-hard-expires-in": "true"}


class GrantRefused(Exception):
    """Intuit says the code or token is not valid any more: a person must sign in again."""


class Misconfigured(Exception):
    """Intuit does not know our client id or secret: an operator must act, customers cannot."""


class Unavailable(Exception):
    """Intuit could not be reached or failed: try again later."""


@dataclass(frozen=True)
class Endpoints:
    """Intuit's addresses for consent, tokens, and revocation."""

    authorization: str
    token: str
    revocation: str


@dataclass(frozen=True)
class Grant:
    """The token endpoint's answer."""

    access_token: str
    refresh_token: str
    access_lasts: timedelta
    refresh_lasts: timedelta
    hard_lasts: timedelta | None  # until the sign-in ends in any case; None if unknown

    def __repr__(self) -> str:
        return "Grant([hidden])"  # rule 17: tracebacks must not show tokens


# --- Where --------------------------------------------------------------------------------------

_discovered: dict[str, tuple[float, Endpoints]] = {}
_discovery_lock = threading.Lock()


def endpoints(config: Config) -> Endpoints:
    """Intuit's addresses from its discovery document, cached for a day. Raises Unavailable.

    Intuit's OAuth 2.0 guide asks apps to read them there, because they may change.
    """
    address = DISCOVERY.get(
        config.environment,
        config.simulator_url.rstrip("/") + "/.well-known/openid_sandbox_configuration",
    )
    with _discovery_lock:
        known = _discovered.get(address)
        if known and time.monotonic() - known[0] < DISCOVERY_LASTS:
            return known[1]
        try:
            found = _discover(config, address)
        except Unavailable:
            if known:
                return known[1]  # old addresses are still good during an outage
            raise
        _discovered[address] = (time.monotonic(), found)
        return found


def _discover(config: Config, address: str) -> Endpoints:
    session = requests.Session()
    client.mount(session)
    try:
        with client.until(time.monotonic() + TOKEN_DEADLINE), session:
            response = session.get(address, timeout=TOKEN_DEADLINE, allow_redirects=False)
        response.raise_for_status()
        told = response.json()
        found = Endpoints(
            authorization=str(told["authorization_endpoint"]),
            token=str(told["token_endpoint"]),
            revocation=str(told["revocation_endpoint"]),
        )
    except (
        *(requests.RequestException, OSError, ValueError, KeyError, TypeError),
        RecursionError,  # JSON nested without end
    ) as problem:
        raise Unavailable("Intuit's discovery document could not be read.") from problem
    if config.environment != "simulator":
        for endpoint in (found.authorization, found.token, found.revocation):
            _must_be_intuit(endpoint)
    return found


def _must_be_intuit(address: str) -> None:
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "https" or not (host == "intuit.com" or host.endswith(".intuit.com")):
        raise Unavailable("Intuit's discovery document names an address outside intuit.com.")


# --- What one says ------------------------------------------------------------------------------


def authorize_url(config: Config, state: str) -> str:
    """Where the browser is sent for consent. Raises Unavailable."""
    session = OAuth2Session(config.client_id, scope=[SCOPE], redirect_uri=config.redirect_uri)
    url, _ = session.authorization_url(endpoints(config).authorization, state=state)
    return str(url)


def exchange(config: Config, code: str) -> Grant:
    """Exchanges a code for a grant. Raises GrantRefused, Misconfigured or Unavailable."""
    session = _session(config)
    return _grant(
        lambda: session.fetch_token(
            endpoints(config).token,
            code=code,
            auth=HTTPBasicAuth(config.client_id, config.client_secret),
            include_client_id=False,
            headers=_headers(),
            timeout=TOKEN_DEADLINE,
        )
    )


def refresh(config: Config, refresh_token: str) -> Grant:
    """A fresh grant for a refresh token. Raises GrantRefused, Misconfigured or Unavailable.

    Store the refresh token in the new grant (Intuit's OAuth 2.0 guide): the old one may not work
    any more.
    """
    session = _session(config)  # without a scope: Intuit's own clients send none on refresh
    return _grant(
        lambda: session.refresh_token(
            endpoints(config).token,
            refresh_token=refresh_token,
            auth=HTTPBasicAuth(config.client_id, config.client_secret),
            headers=_headers(),
            timeout=TOKEN_DEADLINE,
        ),
        kept=refresh_token,
    )


def revoke(config: Config, token: str) -> bool:
    """Revokes a grant at Intuit: True if it did, False if it does not know the token (any more).

    Raises Unavailable: try again.
    """
    session = requests.Session()
    client.mount(session)
    try:
        with client.until(time.monotonic() + REVOKE_DEADLINE), session:
            response = session.post(
                endpoints(config).revocation,
                data=json.dumps({"token": token}),
                auth=HTTPBasicAuth(config.client_id, config.client_secret),
                headers={"Accept": "application/json", "Content-Type": "application/json"},
                timeout=REVOKE_DEADLINE,
                allow_redirects=False,
            )
    except (requests.RequestException, OSError) as problem:
        raise Unavailable("Intuit could not be reached to end the grant.") from _bare(problem)
    if response.status_code == 200:
        return True
    about_us = response.status_code in (401, 429)  # not about the token
    if about_us or not 400 <= response.status_code < 500:
        raise Unavailable(f"Intuit answered {response.status_code} when asked to end the grant.")
    return False


def _headers() -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        **_HARD_EXPIRY_ASKED,
    }


def _session(config: Config) -> OAuth2Session:
    session = OAuth2Session(config.client_id, redirect_uri=config.redirect_uri)
    session.max_redirects = 0  # a redirect could send our secret anywhere
    client.mount(session)
    session.register_compliance_hook("access_token_response", _judge)
    session.register_compliance_hook("refresh_token_response", _judge)
    return session


def _judge(response: requests.Response) -> requests.Response:
    """Raises for anything but a grant, by status and Intuit's own error code."""
    if response.status_code == 200:
        return response
    try:
        told = response.json()
        error, words = told.get("error"), str(told.get("error_description", ""))
    except (ValueError, AttributeError):
        error, words = None, ""
    is_other_apps = error == "invalid_grant" and "clientid" in words.lower()
    if is_other_apps or error in ("invalid_client", "unauthorized_client"):
        # Also for a valid token of another app or environment: it does not mean that a sign-in has
        # expired.
        raise Misconfigured("Intuit does not accept our client id and secret.")
    if response.status_code == 400 and error == "invalid_grant":
        raise GrantRefused("Intuit refused the code or token.")
    raise Unavailable(f"Intuit's token endpoint answered {response.status_code}.")


def _grant(ask: Any, kept: str | None = None) -> Grant:
    """The grant in the answer. If it has no refresh token, `kept` is
    used; without any, the answer is unusable."""
    try:
        with client.until(time.monotonic() + TOKEN_DEADLINE):
            token: Mapping[str, Any] = ask()
        return Grant(
            access_token=_token(token.get("access_token")),
            refresh_token=_token(token.get("refresh_token"), kept),
            access_lasts=_lasts(token, "expires_in") or ACCESS_LASTS,
            refresh_lasts=_lasts(token, "x_refresh_token_expires_in") or REFRESH_LASTS,
            hard_lasts=_lasts(token, "x_refresh_token_hard_expires_in"),
        )
    except (GrantRefused, Misconfigured, Unavailable):
        raise
    except Exception as problem:  # whatever oauthlib raises for an answer that is no object
        _unavailable(problem)


def _token(told: object, otherwise: str | None = None) -> str:
    """A token from the answer, or else the other one. Raises ValueError if there is none."""
    found = told if isinstance(told, str) and told.strip() else otherwise
    if found is None:
        raise ValueError("no token in the answer")
    return found


def _unavailable(problem: Exception) -> NoReturn:
    raise Unavailable("Intuit's token endpoint gave no usable answer.") from _bare(problem)


def _bare(problem: Exception) -> Exception:
    """The exception's type and message, without the attached request and its secrets."""
    return RuntimeError(f"{type(problem).__name__}: {redact(str(problem))}")


ACCESS_LASTS, REFRESH_LASTS = timedelta(hours=1), timedelta(days=100)  # as Intuit documents
LONGEST = 10**9  # seconds; about 30 years, before any calendar ends


def _lasts(token: Mapping[str, Any], key: str) -> timedelta | None:
    """A number of seconds, which Intuit sometimes writes as a string. None if it says nothing:
    something that was just given out has not ended."""
    told = token.get(key)
    try:
        seconds = 0 if isinstance(told, bool) else int(told or 0)
    except (TypeError, ValueError, OverflowError):
        seconds = 0
    return timedelta(seconds=min(seconds, LONGEST)) if seconds > 0 else None
