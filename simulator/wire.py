"""One request and its answer on the wire, well or badly: delays, resets, cuts, errors on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from simulator import answers, refusals
from simulator.answers import Answer
from simulator.documents import Document, Json, dump_json, part_of, text_of
from simulator.injection import Call
from simulator.journal import Entry
from simulator.refusals import Fault
from simulator.state import Simulator

SERVER_TIMEOUT = 120.0  # seconds after which Intuit ends a request
WATCH_EVERY = 0.02  # seconds between looks whether the client is still there

Work = Callable[[], Awaitable[Answer]]


class HungUp(Exception):
    """The client has left, and the work has not been done."""


@dataclass(slots=True)
class Exchange:
    simulator: Simulator
    request: web.Request
    raw: bytes
    entry: Entry
    do: Document = field(default_factory=dict)  # what a fault rule wants
    hung_up_at: float | None = None

    @property
    def as_xml(self) -> bool:
        """XML is Intuit's default; JSON has to be asked for."""
        if self.request.query.get("format", "").lower() == "json":
            return False
        accept = self.request.headers.get("Accept", "")
        return "json" not in accept and "pdf" not in accept

    def is_there(self) -> bool:
        transport = self.request.transport
        return transport is not None and not transport.is_closing()

    def headers(self, answer: Answer) -> dict[str, str]:
        took = int((time.time() - self.entry.arrived_at) * 1000)
        return answers.wire_headers(answer, self.entry.tid, took)

    def finish(self, answer: Answer) -> web.Response:
        self.entry.answered(answer.status)
        return web.Response(status=answer.status, body=answer.body, headers=self.headers(answer))

    async def wait(self, seconds: float, works_on: float) -> None:
        """Takes so long, client or no client; gives up `works_on` after the client hung up."""
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            await asyncio.sleep(min(left, WATCH_EVERY))
            if self.hung_up_at is None:
                if not self.is_there():
                    self.hung_up_at = time.monotonic()
            elif time.monotonic() - self.hung_up_at > works_on:
                raise HungUp

    # Serving ----------------------------------------------------------------------------------

    def take_rule(self, call: Call) -> None:
        self.do = self.simulator.injection.for_call(call)
        self.entry.fault = ", ".join(self.do)

    async def serve(self, work: Work, works_on: float = SERVER_TIMEOUT) -> web.StreamResponse:
        try:
            if self.do:
                return await self._serve_badly(work, works_on)
            return self.finish(await work())
        except HungUp:
            return web.Response(status=499)

    async def _serve_badly(self, work: Work, works_on: float) -> web.StreamResponse:
        do = self.do
        await self.wait(_seconds(do.get("delay")), works_on)
        if do.get("reset") == "before":
            return self._break()
        if do.get("timeout") == "before":
            return await self._hang()
        if "status" in do and not do.get("after_commit"):
            return self.finish(self._canned())
        if "fault" in do:
            fault = fault_from(part_of(do, "fault"))
            now = self.simulator.clock.now()
            return self.finish(answers.fault((fault,), "en", now, self.as_xml))
        answer = await work()
        await asyncio.sleep(_seconds(do.get("delay_after")))
        if do.get("reset") == "after":
            return self._break()
        if do.get("timeout") == "after":
            return await self._hang()
        if "status" in do:
            return self.finish(self._canned())
        if cut := do.get("truncate"):
            return await self._truncate(answer, cut)
        return self.finish(answer)

    def _break(self) -> web.StreamResponse:
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response(status=499)

    async def _hang(self) -> web.StreamResponse:
        """No answer, until the client gives up or Intuit's own time is over."""
        ends_at = time.monotonic() + SERVER_TIMEOUT
        while self.is_there() and time.monotonic() < ends_at:
            await asyncio.sleep(WATCH_EVERY)
        return self._break()

    async def _truncate(self, answer: Answer, cut: Json) -> web.StreamResponse:
        told = isinstance(cut, int) and not isinstance(cut, bool)
        length = cut if told and isinstance(cut, int) else len(answer.body) // 2
        headers = {**self.headers(answer), "Content-Length": str(len(answer.body))}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(self.request)
        await response.write(answer.body[:length])
        self.entry.answered(answer.status)
        if self.request.transport is not None:
            self.request.transport.close()
        return response

    def _canned(self) -> Answer:
        answer = self._canned_body()
        extra = {key: str(value) for key, value in part_of(self.do, "headers").items()}
        if "retry_after" in self.do:
            extra["Retry-After"] = str(self.do["retry_after"])
        headers = {**answer.headers, **extra}
        return Answer(answer.status, answer.body, answer.content_type, headers)

    def _canned_body(self) -> Answer:
        """The body that this status usually comes with, unless the rule brings its own."""
        told = self.do["status"]
        status = told if isinstance(told, int) else 500
        wanted = text_of(self.do, "format")
        as_xml = wanted == "xml" or (self.as_xml and not wanted)
        now = self.simulator.clock.now()
        if "body" in self.do:
            return _told_body(status, self.do["body"], wanted)
        if wanted != "html" and status == 429:
            return answers.throttled(now, as_xml, None)
        if wanted != "html" and status == 401:
            token = self.request.headers.get("Authorization", "").partition(" ")[2]
            return answers.unauthenticated(token, now, as_xml)
        if wanted != "html" and status == 403:
            return answers.unauthorized(now, as_xml)
        if wanted in ("json", "xml"):
            words = "We are sorry, something went wrong on our side."
            answer = answers.fault((refusals.internal_error(words),), "en", now, as_xml)
            return Answer(status, answer.body, answer.content_type)
        return answers.html_error(status)


def fault_from(told: Document) -> Fault:
    """A fault in a rule's own words."""
    code = str(told.get("code", "6000"))
    return Fault(
        code=code,
        message=text_of(told, "message")
        or "A business validation error has occurred while processing your request",
        detail=text_of(told, "detail") or f"Business Validation Error: {code} on demand",
        element=text_of(told, "element"),
        type=text_of(told, "type") or refusals.VALIDATION,
    )


def _told_body(status: int, body: Json, wanted: str) -> Answer:
    if isinstance(body, str):
        content_type = {"xml": answers.XML, "json": answers.JSON_ERROR}.get(wanted, answers.HTML)
        return Answer(status, body.encode(), content_type)
    return Answer(status, dump_json(body), answers.JSON_ERROR)


def _seconds(value: Json) -> float:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        return 0.0
