"""Structured logs on standard output, one JSON object per line, without secrets.

Redaction is the last step before a line is written. By then everything that was logged (nested
values, exception texts, records of libraries) is plain values. Each text is redacted, keys
included, but never the finished line: so a line is always valid JSON.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import quote

import structlog

HIDDEN = "[hidden]"
MIN_SECRET_LENGTH = 8  # for secrets hidden by value: a shorter one would hide ordinary words

# Secrets by their shape or name. Each pattern keeps its first group and hides the rest. A name may
# occur in JSON, in JSON inside JSON (\"), in a Python repr, or in a form. So that a text that is
# JSON stays JSON, no pattern matches a double quote, or a backslash without what it escapes.
SECRET_NAMES = frozenset(
    "access_token refresh_token id_token client_secret password csrf_token authorization cookie"
    " secret_key token_keys secret totp_secret".split()
)
_NAMES = "|".join(sorted(SECRET_NAMES))
_NAMED = rf"\\*[\"'](?:{_NAMES})\\*[\"']\s*:\s*\[?\s*"
_EDGE = r"(?:\b|(?<=\\[a-z]))"  # start of a word, also after an escape: \\neyJ…
_SECRETS = (
    re.compile(rf"({_EDGE})eyJ[\w.=+/-]{{8,}}"),  # access tokens, id tokens
    re.compile(rf"({_EDGE})RT1-[\w.-]+"),  # refresh tokens
    re.compile(rf"({_EDGE})X?AB\d[\w-]{{16,}}"),  # authorization codes, and older tokens
    re.compile(rf"({_EDGE})gAAAA[\w-]{{20,}}=*"),  # values encrypted with TOKEN_KEYS
    re.compile(rf"({_EDGE}(?:inv|lnk)_)[\w-]{{20,}}"),  # links of invitations, password resets …
    re.compile(r"()\$argon2[\w$,=+/-]+"),  # password hashes
    re.compile(rf"(?i)({_EDGE}(?:bearer|basic) )[\w.=+/~-]{{16,}}"),
    re.compile(r"(?i)(\btoken (?:expired|revoked|invalid|rejected): )[^\s\"<,\\]+"),
    re.compile(rf"(?i)({_NAMED}\")(?:\\.|[^\"\\])+"),
    re.compile(rf"(?i)({_NAMED}')(?:\\.|[^\"'\\])+"),
    re.compile(rf"(?i)({_NAMED}\\+[\"'])[^\"\\]+"),
    re.compile(
        rf"(?i)({_EDGE}(?:access_token|refresh_token|client_secret|password|csrf_token)=)"
        r"[^&\s\"<,;\\]+"
    ),
    # parameters of the OAuth callback, and the key of a second factor
    re.compile(r"([?&](?:code|state|secret)=)[^&\s\"<,;\\]+"),
    re.compile(rf"({_EDGE}(?:[sr]k_(?:live|test)_|whsec_))[\w+/=-]{{8,}}"),  # Stripe's keys
    re.compile(r"(/(?:i|drafts)/)[\w-]{27,}"),  # links of clients, and forms kept until a sign-in
    re.compile(r"(\b[a-z][a-z0-9+]*://[^\s:/@\"']*:)[^\s@/\"'\\]+(?=@)"),  # passwords in URLs
)

_known: set[str] = set()


def hide(secrets: Iterable[str]) -> None:
    """Hides these values in all later log lines, wherever they occur."""
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH:
            _known.update({secret, quote(secret, safe=""), json.dumps(secret)[1:-1]})


def redact(text: str, *secrets: str) -> str:
    """The text without secrets: known values, `secrets`, and anything that looks like one."""
    for secret in (*secrets, *_known):
        if secret:
            text = text.replace(secret, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


# --- The way of a log line ------------------------------------------------------------------------


def configure() -> None:
    """Routes all logs, also those of libraries, through one redacting renderer."""
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
    handler = _Handler(sys.stdout)
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
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it logs every run at INFO
    logging.captureWarnings(True)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable
    if sys.excepthook is sys.__excepthook__:  # a test runner has its own
        sys.excepthook = _log_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_uncaught_in_thread


# --- One line -------------------------------------------------------------------------------------

MAX_DEPTH = 20  # levels of nesting; anything deeper is a mistake
MAX_NUMBER = 2**63  # log readers lose digits beyond this, or fail

Plain = dict[str, Any] | list[Any] | str | int | float | bool | None


def _render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """One line of ASCII, so that no terminal, file or splitter can break it."""
    return json.dumps(_plain(event), allow_nan=False)


def _plain(value: object, above: tuple[int, ...] = ()) -> Plain:
    """The value as JSON types, redacted. Other types become their text."""
    if id(value) in above or len(above) > MAX_DEPTH:
        return "[…]"
    inside = (*above, id(value))
    if isinstance(value, Mapping):
        return _plain_mapping(value, inside)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each, inside) for each in list(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < MAX_NUMBER:  # not true of NaN
        return value if _text(value) == repr(value) else HIDDEN
    return _text(value)


def _plain_mapping(value: Mapping[Any, Any], inside: tuple[int, ...]) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    for key, each in list(value.items()):
        name = _text(key)
        while name in plain:  # two keys became equal by redaction
            name += "_"
        is_secret = isinstance(key, str) and key.lower() in SECRET_NAMES and each
        plain[name] = HIDDEN if is_secret else _plain(each, inside)
    return plain


def _text(value: object) -> str:
    try:
        text = str.__str__(value) if isinstance(value, str) else repr(value)
    except Exception as problem:  # even str() failed: log the class only
        text = f"[{type(value).__name__} without a text: {type(problem).__name__}]"
    return redact(text)


class _Handler(logging.StreamHandler[TextIO]):
    """Reports a line that could not be written as JSON, instead of printing a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        problem = type(sys.exc_info()[1]).__name__
        place = f"{record.pathname}:{record.lineno}"
        event = {"event": "a log line could not be written", "problem": problem, "place": place}
        with suppress(Exception):  # the stream itself may be closed
            self.stream.write(_render(None, "", {**event, "level": "error"}) + self.terminator)
            self.flush()


def _log_uncaught(
    kind: type[BaseException], problem: BaseException, trace: TracebackType | None
) -> None:
    """Logs uncaught exceptions, which would otherwise reach stderr unredacted."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger().critical("uncaught exception", exc_info=(kind, problem, trace))


def _log_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None:
        _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def _log_unraisable(told: "sys.UnraisableHookArgs") -> None:
    if told.exc_value is not None:
        _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
