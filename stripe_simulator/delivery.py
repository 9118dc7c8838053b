"""Webhooks: signed for each attempt and repeated until accepted; lost or duplicated on demand."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field

import aiohttp

from stripe_simulator.wire import Fields

MAX_TRIES = 12
FIRST_PAUSE = 0.5  # seconds, doubling; the real one waits longer, for days
MAX_PAUSE = 30.0
PATIENCE = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True)
class Endpoint:
    url: str
    secret: str
    is_connect: bool  # receives events of connected accounts, otherwise of the platform


@dataclass
class Delivery:
    endpoints: list[Endpoint] = field(default_factory=list)
    mode: str = "normal"  # lost, doubled, doubled_ids, held
    held: list[tuple[Fields, str]] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    log: list[Fields] = field(default_factory=list)  # the answers received

    def take(self, event: Fields, account: str) -> None:
        match self.mode:
            case "lost":
                return
            case "held":
                self.held.append((event, account))
            case "doubled":
                self._start(event, account)
                self._start(event, account)
            case "doubled_ids":
                self._start(event, account)
                self._start(event | {"id": f"evt_{secrets.token_hex(12)}"}, account)
            case _:
                self._start(event, account)

    def let_go(self, *, is_reversed: bool) -> int:
        """Delivers the held events in order."""
        held, self.held = self.held, []
        self._begin(self._in_turn(list(reversed(held)) if is_reversed else held))
        return len(held)

    async def _in_turn(self, events: list[tuple[Fields, str]]) -> None:
        for event, account in events:
            await asyncio.gather(*(self._deliver(one, event) for one in self._for(account)))

    def _start(self, event: Fields, account: str) -> None:
        for endpoint in self._for(account):
            self._begin(self._deliver(endpoint, event))

    def _for(self, account: str) -> list[Endpoint]:
        return [one for one in self.endpoints if one.is_connect == bool(account)]

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _deliver(self, endpoint: Endpoint, event: Fields) -> None:
        body = json.dumps(event)
        for attempt in range(MAX_TRIES):
            status = await self._send(endpoint, body)
            self.log.append({"id": event["id"], "type": event["type"], "status": status})
            if 200 <= status < 300:
                return
            await asyncio.sleep(min(FIRST_PAUSE * 2**attempt, MAX_PAUSE))

    async def _send(self, endpoint: Endpoint, body: str) -> int:
        at = int(time.time())
        signed = hmac.new(endpoint.secret.encode(), f"{at}.{body}".encode(), hashlib.sha256)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": f"t={at},v1={signed.hexdigest()}",
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=PATIENCE) as client,
                client.post(endpoint.url, data=body, headers=headers) as answer,
            ):
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
