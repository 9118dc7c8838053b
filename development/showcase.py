"""DunaHub with firms in every state that a page can show, for pictures and browser tests.

Served from this process without the engine, so that every state stays as it is.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet
from werkzeug.serving import WSGIRequestHandler, make_server

from app import create_app
from config import Config
from development.filling import fill
from development.seed import seed_once
from development.stack import free_port
from simulator.testing import SimulatorHandle

ALL_DAY = 80_000  # seconds: a call "in progress" stays so for as long as anyone looks


@dataclass(frozen=True)
class Showcase:
    """The app's address, and record keys by the names that scenes use."""

    url: str
    keys: dict[str, str]


@contextmanager
def running_showcase(
    database_url: str, simulator: SimulatorHandle, *, invoices: int = 8
) -> Iterator[Showcase]:
    """Needs an empty database and fresh books. `invoices`: how many were sent last month."""
    port = free_port()
    config = Config.from_environ(
        {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "for pictures and checks only, so it may be known",
            "TOKEN_KEYS": Fernet.generate_key().decode(),
            "QUICKBOOKS_ENVIRONMENT": "simulator",
            "SIMULATOR_URL": simulator.url,
            "BASE_URL": f"http://127.0.0.1:{port}",
            # Pages with payment buttons only need to know that Stripe is configured.
            "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_urlsafe(24)}",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_urlsafe(24)}",
            "STRIPE_API_BASE": "http://127.0.0.1:9",
            "LEASE": str(ALL_DAY),
            "RESEND_AFTER": str(ALL_DAY + 1),
            "PROXIES": "1",  # a scene may use its own client address
        }
    )
    seed_once(database_url)
    app = create_app(config)
    app.add_url_rule("/broken", view_func=_fail)
    dunahub = app.extensions["dunahub"]
    keys = fill(dunahub.sessions, config, simulator, invoices=invoices)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield Showcase(config.base_url, keys)
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
        dunahub.database.dispose()


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive, as in production

    def log(self, type: str, message: str, *args: Any) -> None: ...


def _fail() -> str:
    raise RuntimeError("The page that fails, to be looked at.")
