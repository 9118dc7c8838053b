"""The simulator's pages are Jinja templates in `pages/`; every value in them is escaped."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER = Path(__file__).parent / "pages"
# These pages run no scripts, load nothing from elsewhere, and cannot be framed.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_environment = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _money(value: object) -> str:
    amount = Decimal(str(value)) if isinstance(value, int | Decimal) else Decimal(0)
    return f"{amount:,.2f}"


_environment.filters["money"] = _money


def page(template: str, http_status: int = 200, **values: object) -> web.Response:
    text = _environment.get_template(template).render(**values)
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return web.Response(text=text, status=http_status, content_type="text/html", headers=headers)
