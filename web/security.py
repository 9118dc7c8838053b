"""What every answer carries, and what every form must: headers, CSRF token, bounded sign-ins."""

import gzip
import hashlib
import logging
import re
import secrets
import time
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, request
from flask_compress import Compress
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFProtect
from prometheus_client import Histogram
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from config import Config
from web import tallies  # noqa: F401  (the store of "tallies://")
from web.access import LONGEST_SESSION, dunahub
from web.sessions import TolerantSessions

SIGN_INS = "20 per minute; 200 per hour"  # per address; a person mistypes a few times, not twenty
LARGEST_FORM = 2 * 1024 * 1024
YEAR = 31_536_000  # seconds
MOST_FIELDS = 3_000  # the longest invoice, of 200 lines, has 1,600

QUIET = {"static", "health.healthz", "health.readyz", "health.figures"}  # asked for every second
REQUESTS = Histogram(
    "dunahub_requests_seconds",
    "How long pages took",
    ["status"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
_REFERENCE = re.compile(r"[\w.-]{8,64}", re.ASCII)

requests = logging.getLogger("dunahub.requests")

csrf = CSRFProtect()


def address_of_visitor() -> str:
    """What sign-ins are counted by. Of IPv6 the network: one home has billions of addresses."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


limiter = Limiter(address_of_visitor, storage_uri="tallies://", default_limits=[])


class Key(IntegerConverter):
    """A key of the database: what is beyond its range names nothing, and answers 404."""

    regex = r"[1-9]\d{0,17}"


def register(app: Flask) -> None:
    config: Config = app.extensions["dunahub"].config
    app.config.update(
        SESSION_COOKIE_NAME=_cookie_name(config),
        SESSION_COOKIE_PATH="/",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",  # Intuit sends people back to us by a link
        SESSION_COOKIE_SECURE=config.secure_cookies,
        PERMANENT_SESSION_LIFETIME=LONGEST_SESSION,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a form left open overnight still saves
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM,
        # Pages too. That their length tells of the token in them needs a visitor's browser to ask
        # for them at a stranger's bidding, with the session: SameSite=Lax sends none. And the token
        # is signed anew in each.
        COMPRESS_MIMETYPES=["text/html"],
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_STREAMS=False,
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
        MAX_FORM_PARTS=MOST_FIELDS,
    )
    if config.proxies:
        # Only as many entries are believed as there are proxies of ours; visitors write the rest.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=config.proxies, x_proto=config.proxies
        )
    app.session_interface = TolerantSessions()
    app.url_map.converters["key"] = Key
    app.before_request(name_request)  # first: what others refuse has a name too
    app.before_request(refuse_too_many_fields)
    csrf.init_app(app)
    limiter.init_app(app)
    app.after_request(protect)
    app.after_request(squeeze)
    app.after_request(tell)
    Compress(app)
    app.url_defaults(_version_static_files)


def _cookie_name(config: Config) -> str:
    """Cookies know no ports: copies side by side on one machine would sign each other out.

    Over https browsers take a __Host- cookie from this very host only: no neighbour under the same
    domain, and nobody on a plain http connection, can plant one.
    """
    port = urlsplit(config.base_url).port
    name = f"dunahub_{port}" if port else "dunahub"
    return f"__Host-{name}" if config.secure_cookies else name


def name_request() -> None:
    """A reference that error pages show, answers tell, and every log line of the request carries.

    A proxy's own is kept, so that its log and ours meet.
    """
    given = request.headers.get("X-Request-Id", "")
    g.reference = given if _REFERENCE.fullmatch(given) else secrets.token_hex(8)
    g.began_at = time.monotonic()
    clear_contextvars()  # the thread served someone else before
    bind_contextvars(request=g.reference)


def refuse_too_many_fields() -> None:
    """Werkzeug counts the parts of multipart forms only. Counted before anything reads the form."""
    if request.mimetype == "application/x-www-form-urlencoded":
        body = request.get_data()  # kept: the form is read from it
        if body.count(b"&") >= MOST_FIELDS:
            abort(413)


def tell(response: Response) -> Response:
    """One line a request: who, what, how long; no query, which may carry a sign-in's code."""
    response.headers["X-Request-Id"] = g.reference
    group = f"{response.status_code // 100}xx"
    seconds = time.monotonic() - g.began_at
    if request.endpoint not in QUIET:
        REQUESTS.labels(group).observe(seconds)
        requests.info(
            "request",
            extra={
                "method": request.method,
                "route": request.url_rule.rule if request.url_rule else None,
                "status": response.status_code,
                "ms": round(seconds * 1000),
                **g.get("signed_in_as", {}),
            },
        )
    return response


def protect(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", content_policy(dunahub().config))
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if dunahub().config.secure_cookies:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")  # Back after sign-out shows nothing
    elif response.status_code in (200, 304) and _is_versioned():
        headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    return response


def _is_versioned() -> bool:
    """Whether the address names the version that is served: what it names never changes."""
    name = (request.view_args or {}).get("filename", "")
    return bool(name) and request.args.get("v") == _versions.get(name)


def content_policy(config: Config) -> str:
    """Everything from ourselves; forms may end at Intuit, where Connect leads."""
    intuit = "https://*.intuit.com"
    if config.environment == "simulator":
        parts = urlsplit(config.simulator_url)
        intuit = f"{parts.scheme}://{parts.netloc}"
    stripe = ""
    if config.stripe_secret_key:
        stripe = f" {config.stripe_api_base or STRIPE_PAGES}"
    return (
        "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none';"
        f" form-action 'self' {intuit}{stripe}"
    )


# Where clients pay, and firms tell Stripe about themselves.
STRIPE_PAGES = "https://checkout.stripe.com https://connect.stripe.com https://dashboard.stripe.com"

SQUEEZED = {"text/css", "text/javascript", "image/svg+xml"}


def squeeze(response: Response) -> Response:
    """Sends our static files compressed, once for all: a third of the bytes."""
    if request.endpoint != "static" or response.mimetype not in SQUEEZED:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and request.accept_encodings["gzip"]:
        response.direct_passthrough = False
        response.set_data(_squeezed(response.get_data()))
        response.content_encoding = "gzip"
    return response


@lru_cache(maxsize=64)  # there are about a dozen files
def _squeezed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


_versions: dict[str, str] = {}


def _version_static_files(endpoint: str, values: dict[str, Any]) -> None:
    """A new version of a file has a new address, so browsers may keep files for long."""
    name = values.get("filename")
    if endpoint != "static" or not isinstance(name, str):
        return
    if name not in _versions:
        path = Path(__file__).parent.parent / "static" / name
        _versions[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    values["v"] = _versions[name]
