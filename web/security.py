"""Security of all responses and forms: headers, CSRF tokens, rate limits."""

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
from web.access import MAX_SESSION_IDLE, dunahub
from web.sessions import TolerantSessions

SIGN_INS = "20 per minute; 200 per hour"  # per address; a person mistypes a few times, not twenty
LARGEST_FORM = 2 * 1024 * 1024
YEAR = 31_536_000  # seconds
MAX_FIELDS = 3_000  # an invoice of 200 lines has 1,600

# requested every second
UNLOGGED_ENDPOINTS = {"static", "health.healthz", "health.readyz", "health.figures"}
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
    """The key for rate limits: the address, or for IPv6 the network,
    since one home has billions of addresses."""
    told = request.remote_addr or ""
    with_port = _WITH_PORT.fullmatch(told)  # as some proxies write it
    try:
        address = ip_address(with_port[1] or with_port[2] if with_port else told)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        # A socket for both families shows IPv4 visitors like this: not all are one network.
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return str(address)


_WITH_PORT = re.compile(r"([0-9.]+):[0-9]+|\[([^\]]+)\](?::[0-9]+)?")


limiter = Limiter(address_of_visitor, storage_uri="tallies://", default_limits=[])


class Key(IntegerConverter):
    """A database key in a URL. A number outside the column's range is 404."""

    regex = r"[1-9]\d{0,17}"


def register(app: Flask) -> None:
    config: Config = app.extensions["dunahub"].config
    app.config.update(
        SESSION_COOKIE_NAME=_cookie_name(config),
        SESSION_COOKIE_PATH="/",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",  # Intuit redirects people back to us with a link
        SESSION_COOKIE_SECURE=config.secure_cookies,
        PERMANENT_SESSION_LIFETIME=MAX_SESSION_IDLE,
        # valid as long as the session: a form left open overnight can still be saved
        WTF_CSRF_TIME_LIMIT=None,
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM,
        # Compresses pages as well. An attacker who wants to learn the token from response lengths
        # must make the visitor's browser request pages with its session, and SameSite=Lax prevents
        # that. The token is also signed differently in each page.
        COMPRESS_MIMETYPES=["text/html"],
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_STREAMS=False,
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
        MAX_FORM_PARTS=MAX_FIELDS,
    )
    if config.proxies:
        # Trusts as many entries as we have proxies; visitors can write the others.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=config.proxies, x_proto=config.proxies
        )
    app.session_interface = TolerantSessions()
    app.url_map.converters["key"] = Key
    app.before_request(name_request)  # first, so that refused requests have a reference, too
    app.before_request(refuse_too_many_fields)
    csrf.init_app(app)
    limiter.init_app(app)
    app.after_request(protect)
    app.after_request(squeeze)
    app.after_request(tell)
    Compress(app)
    app.url_defaults(_version_static_files)


def _cookie_name(config: Config) -> str:
    """Cookies ignore ports, so copies on one machine need different names.

    Over https the __Host- prefix ensures that neither another host of the same domain nor anyone on
    a plain http connection can set the cookie.
    """
    port = urlsplit(config.base_url).port
    name = f"dunahub_{port}" if port else "dunahub"
    return f"__Host-{name}" if config.secure_cookies else name


def name_request() -> None:
    """Gives the request a reference for error pages, response headers and log lines.

    A reference from the proxy is kept, so that both logs match.
    """
    given = request.headers.get("X-Request-Id", "")
    g.reference = given if _REFERENCE.fullmatch(given) else secrets.token_hex(8)
    g.began_at = time.monotonic()
    clear_contextvars()  # the thread has served other requests
    bind_contextvars(request=g.reference)


def refuse_too_many_fields() -> None:
    """Werkzeug only limits multipart forms. Counts fields before the form is parsed."""
    if request.mimetype == "application/x-www-form-urlencoded":
        body = request.get_data()  # cached: the form is parsed from it later
        if body.count(b"&") >= MAX_FIELDS:
            abort(413)


def tell(response: Response) -> Response:
    """Logs one line per request, without the query string, which may hold an OAuth code."""
    response.headers["X-Request-Id"] = g.reference
    group = f"{response.status_code // 100}xx"
    seconds = time.monotonic() - g.began_at
    if request.endpoint not in UNLOGGED_ENDPOINTS:
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
        # the Back button shows nothing after sign-out
        headers.setdefault("Cache-Control", "no-store")
    elif response.status_code in (200, 304) and _is_versioned():
        headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    return response


def _is_versioned() -> bool:
    """Whether the URL contains the current version, so that its content never changes."""
    name = (request.view_args or {}).get("filename", "")
    return bool(name) and request.args.get("v") == _version_of(name)


def content_policy(config: Config) -> str:
    """Allows only our own sources. Forms may lead to Intuit, because of Connect."""
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


# Where clients pay, and where firms enter their details.
STRIPE_PAGES = "https://checkout.stripe.com https://connect.stripe.com https://dashboard.stripe.com"

COMPRESSED_TYPES = {"text/css", "text/javascript", "image/svg+xml"}


def squeeze(response: Response) -> Response:
    """Sends static files compressed, a third of their size. Each is compressed once."""
    if request.endpoint != "static" or response.mimetype not in COMPRESSED_TYPES:
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


def _version_static_files(endpoint: str, values: dict[str, Any]) -> None:
    """Adds a version to static URLs, so that browsers can cache the files for long."""
    name = values.get("filename")
    if endpoint != "static" or not isinstance(name, str):
        return
    values["v"] = _version_of(name)


@lru_cache(maxsize=64)
def _version_of(name: str) -> str:
    path = Path(__file__).parent.parent / "static" / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]
