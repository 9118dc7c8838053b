"""python -m stripe_simulator --port 5002 --webhook http://127.0.0.1:5000/webhooks/stripe"""

import argparse
import os
from pathlib import Path

from aiohttp import web

from stripe_simulator.delivery import Delivery, Endpoint
from stripe_simulator.server import BOOKS, make_app


def main() -> None:
    parser = argparse.ArgumentParser(prog="stripe_simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=5002)
    parser.add_argument("--data", type=Path, help="a file that keeps everything over a restart")
    parser.add_argument("--webhook", default="", help="where events are delivered")
    parser.add_argument("--ach-seconds", type=float, default=20, help="a bank transfer takes")
    asked = parser.parse_args()
    secrets = os.environ.get("STRIPE_WEBHOOK_SECRET", "").split(",")
    # The first is the platform's endpoint, the last is for connected accounts.
    endpoints = (
        [
            Endpoint(asked.webhook, secrets[0], is_connect=False),
            Endpoint(asked.webhook, secrets[-1], is_connect=True),
        ]
        if asked.webhook
        else []
    )
    if asked.data:
        asked.data.parent.mkdir(parents=True, exist_ok=True)
    app = make_app(Delivery(endpoints), asked.data)
    app[BOOKS].ach_seconds = asked.ach_seconds
    web.run_app(app, host="127.0.0.1", port=asked.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
