"""The HTTP server: all paths of the simulator on one port."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from aiohttp import web

from simulator.authorization import Authorization
from simulator.control import Control
from simulator.service import Service
from simulator.state import Simulator
from simulator.web import Web
from simulator.windows import Windows

LARGEST_BODY = 20 * 1024 * 1024


def application(simulator: Simulator) -> web.Application:
    app = web.Application(client_max_size=LARGEST_BODY)
    app.add_routes(Web(Service(simulator)).routes())
    app.add_routes(Authorization(simulator).routes())
    app.add_routes(Control(simulator).routes())
    app.add_routes(Windows(simulator).routes())
    return app


async def serve(host: str, port: int, directory: Path | None) -> None:
    """Runs until SIGTERM or SIGINT; prints its address on the first line."""
    simulator = Simulator(directory)
    runner = web.AppRunner(
        application(simulator), access_log=None, handle_signals=False, shutdown_timeout=0.2
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)  # before anyone can know that we are serving
    addresses = runner.addresses
    told = f"[{host}]" if ":" in host else host
    print(f"QuickBooks simulator listening on http://{told}:{addresses[0][1]}", flush=True)
    await stop.wait()
    await runner.cleanup()
    simulator.log.close()
