"""Structured logs on standard output, one JSON object a line; nothing secret passes."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Access tokens (JWE), refresh tokens, authorization headers, and whatever a secret's name names.
_SECRETS = re.compile(
    r"eyJ[\w.-]{20,}|\b(?:RT1|AB1|AB01)[\w-]{16,}|(?i:(?:bearer|basic)\s+[\w.=+/-]{8,})"
    r"|(?i:((?:access_token|refresh_token|client_secret|code)[\"']?\s*[=:]\s*[\"']?))[^\s\"'&,}]+"
)


def redact(text: str) -> str:
    """The text without anything that opens a door."""
    return _SECRETS.sub(lambda found: (found.group(1) or "") + "[redacted]", text)


def _redact_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def configure() -> None:
    """Sends everything, the libraries' records too, through one redacting renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
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
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact_event,
                structlog.processors.JSONRenderer(),
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
