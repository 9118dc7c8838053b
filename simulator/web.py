"""Serves the simulator over HTTP: real delays, broken connections, and clients that disconnect."""

from __future__ import annotations

import asyncio
import gzip
import time

from aiohttp import web

from simulator.answers import Answer
from simulator.exchange import Exchange, Lost, Pause, Request
from simulator.service import SERVER_TIMEOUT, Service
from simulator.tokens import REVOKE, TOKENS, USERINFO

GZIP_LEVEL = 1  # fast rather than small
WATCH_EVERY = 0.02  # seconds between checks whether the client is still connected


class Web:
    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.route("*", "/v3/company/{realm}/{tail:.*}", self.serve),
            web.post(TOKENS, self.serve),
            web.post(REVOKE, self.serve),
            web.get(USERINFO, self.serve),
        ]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        told = Request(
            method=request.method,
            path=request.path,
            query=request.query,
            query_string=request.query_string,
            headers=request.headers,
            body=await request.read(),
            base=f"{request.scheme}://{request.host}",
        )
        exchange = self.service.begin(told)
        steps = self.service.steps(exchange)
        client = Client(request, self.service.works_on(exchange))
        try:
            while True:
                step = next(steps)
                if isinstance(step, Pause):
                    if not await client.waits(step.seconds):
                        return web.Response(status=499)
                else:
                    over = asyncio.Event()
                    step.when_over.append(over.set)
                    await over.wait()
        except StopIteration as end:
            return await client.receive(exchange, end.value)
        finally:
            steps.close()


class Client:
    """The client's end of the connection."""

    def __init__(self, request: web.Request, works_on: float) -> None:
        self.request = request
        self.works_on = works_on
        self.hung_up_at: float | None = None

    def is_there(self) -> bool:
        transport = self.request.transport
        return transport is not None and not transport.is_closing()

    async def waits(self, seconds: float) -> bool:
        """Waits this long, with or without the client; False `works_on`
        seconds after it disconnected."""
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            await asyncio.sleep(min(left, WATCH_EVERY))
            if self.hung_up_at is None:
                if not self.is_there():
                    self.hung_up_at = time.monotonic()
            elif time.monotonic() - self.hung_up_at > self.works_on:
                return False
        return True

    async def receive(self, exchange: Exchange, outcome: Answer | Lost) -> web.StreamResponse:
        if isinstance(outcome, Lost):
            if outcome.how == "timeout":
                await self._hear_nothing()
            if self.request.transport is not None:
                self.request.transport.abort()
            return web.Response(status=499)
        headers = exchange.headers(outcome)
        if outcome.cut is not None:
            return await self._receive_part(outcome, headers)
        body = outcome.body
        if body and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, GZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
        return web.Response(status=outcome.status, body=body, headers=headers)

    async def _hear_nothing(self) -> None:
        """Waits until the client gives up, or Intuit's own timeout."""
        ends_at = time.monotonic() + SERVER_TIMEOUT
        while self.is_there() and time.monotonic() < ends_at:
            await asyncio.sleep(WATCH_EVERY)

    async def _receive_part(self, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
        length = {"Content-Length": str(len(answer.body))}
        response = web.StreamResponse(status=answer.status, headers={**headers, **length})
        await response.prepare(self.request)
        await response.write(answer.body[: answer.cut])
        if self.request.transport is not None:
            self.request.transport.close()
        return response
