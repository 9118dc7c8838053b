"""Structured logs on standard output, one JSON object a line; nothing secret passes.

Redaction is the last step before a line is written: whatever was logged, by whomever, in whatever
shape (nested values, an exception's text, a library's own record), has become text by then.
"""

import logging
import re
import sys
import threading
from collections.abc import Iterable, MutableMapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import structlog

HIDDEN = "[hidden]"
SHORTEST_SECRET = 8  # of those hidden by value: a shorter one would hide half of the language

# What opens a door, by its look or by its name. Each keeps its first group and hides the rest.
# A name may stand in JSON, in JSON inside of JSON (\"), in a Python repr, or in a form.
_SECRETS = (
    re.compile(r"(\b)eyJ[\w.=+/-]{8,}"),  # access tokens, id tokens
    re.compile(r"(\b)RT1-[\w.-]+"),  # refresh tokens
    re.compile(r"(\b)X?AB\d[\w-]{16,}"),  # codes, and tokens of older days
    re.compile(r"(\b)gAAAA[\w-]{20,}=*"),  # what TOKEN_KEYS encrypted
    re.compile(r"(\binv_)[\w-]{20,}"),  # the link of an invitation
    re.compile(r"()\$argon2[\w$,=+/-]+"),  # password hashes
    re.compile(r"(?i)(\b(?:bearer|basic) )[\w.=+/~-]{16,}"),
    re.compile(r"(?i)(\btoken (?:expired|revoked|invalid|rejected): )[^\s\"<,]+"),
    re.compile(
        r"(?i)(\\*[\"'](?:access_token|refresh_token|id_token|client_secret|password|csrf_token"
        r"|authorization|cookie|secret_key|token_keys)\\*[\"']\s*:\s*\\*[\"'])[^\"'\\]+"
    ),
    re.compile(
        r"(?i)(\b(?:access_token|refresh_token|client_secret|password|csrf_token)=)[^&\s\"'<,;]+"
    ),
    re.compile(r"([?&](?:code|state)=)[^&\s\"'<,;\\]+"),  # the callback's address
    re.compile(r"(\b[a-z][a-z0-9+]*://[^\s:/@\"']*:)[^\s@/\"']+(?=@)"),  # passwords in addresses
)

_known: set[str] = set()


def hide(secrets: Iterable[str]) -> None:
    """Hides these values wherever they turn up from now on, whatever they look like."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            _known.update({secret, quote(secret, safe="")})


def redact(text: str, *secrets: str) -> str:
    """The text without anything that opens a door: known values, `secrets`, and their likes."""
    for secret in (*secrets, *_known):
        if secret:
            text = text.replace(secret, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


# --- The way of a log line ------------------------------------------------------------------------


def configure() -> None:
    """Sends everything, the libraries' records too, through one redacting renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.ExtraAdder(),
                structlog.stdlib.add_logger_name,
                *shared,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    for old in [
        h
        for h in root.handlers
        if isinstance(h, logging.StreamHandler) and h.stream in (sys.stdout, sys.stderr)
    ]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it reports every run at INFO
    if sys.excepthook is sys.__excepthook__:  # a test runner has its own
        sys.excepthook = _log_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_uncaught_in_thread


_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def _render(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    return redact(str(_json(logger, method, event)))


def _log_uncaught(
    kind: type[BaseException], problem: BaseException, trace: TracebackType | None
) -> None:
    """What would go to standard error, and past the redaction."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger().critical("uncaught exception", exc_info=(kind, problem, trace))


def _log_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None:
        _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
