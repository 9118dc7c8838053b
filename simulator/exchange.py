"""One request and its answer, with delays, lost answers, cut connections and errors on demand.

Independent of HTTP. The code that processes a request is a generator: it yields what it waits for
and returns the answer, so that a web server (`web`) and an in-process test (`local`) can both run
it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Literal

from simulator import answers, refusals
from simulator.answers import Answer
from simulator.documents import Document, Json, dump_json, part_of, text_of
from simulator.injection import Call
from simulator.journal import Entry
from simulator.refusals import Fault
from simulator.state import Simulator


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    query_string: str
    headers: Mapping[str, str]  # by lower-case name
    body: bytes
    base: str  # http://127.0.0.1:5001
    grant: str = ""  # replaces the token of an in-process caller

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(slots=True)
class Running:
    """A request in progress; others with the same request id wait until it is done."""

    when_over: list[Callable[[], object]] = field(default_factory=list)

    def end(self) -> None:
        for act in self.when_over:
            act()


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer is sent: the connection breaks, or stays silent until the client gives up."""

    how: Literal["reset", "timeout"]


Steps = Generator[Pause | Running, None, Answer | Lost]
Work = Callable[[], Steps]


@dataclass(slots=True)
class Exchange:
    simulator: Simulator
    request: Request
    entry: Entry
    do: Document = field(default_factory=dict)  # actions of the matching fault rule

    @property
    def as_xml(self) -> bool:
        """XML is Intuit's default; JSON must be requested."""
        if self.request.query.get("format", "").lower() == "json":
            return False
        accept = self.request.header("accept")
        return "json" not in accept and "pdf" not in accept

    def take_rule(self, call: Call) -> None:
        self.do = self.simulator.injection.for_call(call)
        self.entry.fault = ", ".join(self.do)

    def headers(self, answer: Answer) -> dict[str, str]:
        """The headers to send. From then on the journal shows the request as answered."""
        now = self.simulator.clock.source()
        self.entry.answered(answer.status, now)
        took = int((now - self.entry.arrived_at) * 1000)
        return answers.wire_headers(answer, self.entry.tid, took)

    # The way of the answer --------------------------------------------------------------------

    def steps(self, work: Work) -> Steps:
        if self.do:
            return (yield from self._badly(work))
        return (yield from work())

    def _badly(self, work: Work) -> Steps:
        do = self.do
        if delay := _seconds(do.get("delay")):
            yield Pause(delay)
        if how := _lost(do, "before"):
            return how
        is_late = do.get("after_commit") or "answer_has" in do
        if not is_late and (told := self._told_instead()):
            return told
        answer = yield from work()
        if delay := _seconds(do.get("delay_after")):
            yield Pause(delay)
        if how := _lost(do, "after"):
            return how
        if not isinstance(answer, Answer) or not _has(answer, do.get("answer_has")):
            return answer
        if told := self._told_instead():
            return told
        if cut := do.get("truncate"):
            return _cut(answer, cut)
        return answer

    def _told_instead(self) -> Answer | None:
        if "status" in self.do:
            return self._canned()
        if "fault" in self.do:
            fault = fault_from(part_of(self.do, "fault"))
            now = self.simulator.clock.now()
            return answers.fault((fault,), "en", now, self.as_xml)
        return None

    def _canned(self) -> Answer:
        answer = self._canned_body()
        extra = {key: str(value) for key, value in part_of(self.do, "headers").items()}
        if "retry_after" in self.do:
            extra["Retry-After"] = str(self.do["retry_after"])
        headers = {**answer.headers, **extra}
        return Answer(answer.status, answer.body, answer.content_type, headers)

    def _canned_body(self) -> Answer:
        """The usual body of this status, unless the rule has its own."""
        told = self.do["status"]
        status = told if isinstance(told, int) else 500
        wanted = text_of(self.do, "format")
        as_xml = wanted == "xml" or (self.as_xml and not wanted)
        now = self.simulator.clock.now()
        if "body" in self.do:
            return _told_body(status, self.do["body"], wanted)
        if "code" in self.do:
            # Seen in an outage: a 500 whose body says «not authorized» (3100).
            code, name = str(self.do["code"]), HTTPStatus(status).phrase.replace(" ", "")
            return answers.gateway(status, code, name, None, "SERVICE", now, as_xml)
        if wanted != "html" and status == 429:
            return answers.throttled(now, as_xml, None)
        if wanted != "html" and status == 401:
            token = self.request.header("authorization").partition(" ")[2]
            return answers.unauthenticated(token, now, as_xml)
        if wanted != "html" and status == 403:
            return answers.unauthorized(now, as_xml)
        if wanted in ("json", "xml"):
            words = "We are sorry, something went wrong on our side."
            answer = answers.fault((refusals.internal_error(words),), "en", now, as_xml)
            return Answer(status, answer.body, answer.content_type)
        return answers.html_error(status)


def fault_from(told: Document) -> Fault:
    """A fault as described in a rule."""
    code = str(told.get("code", "6000"))
    usual = refusals.usual(code)
    status = told.get("status", 400)
    return Fault(
        code=code,
        message=text_of(told, "message") or usual.message,
        detail=text_of(told, "detail") or usual.detail,
        element=text_of(told, "element") or usual.element,
        type=text_of(told, "type") or usual.type,
        status=status if isinstance(status, int) else 400,
    )


def _told_body(status: int, body: Json, wanted: str) -> Answer:
    if isinstance(body, str):
        content_type = {"xml": answers.XML, "json": answers.JSON_ERROR}.get(wanted, answers.HTML)
        return Answer(status, body.encode(), content_type)
    return Answer(status, dump_json(body), answers.JSON_ERROR)


def _lost(do: Document, when: str) -> Lost | None:
    if do.get("reset") == when:
        return Lost("reset")
    return Lost("timeout") if do.get("timeout") == when else None


def _has(answer: Answer, text: Json) -> bool:
    return not isinstance(text, str) or text.encode() in answer.body


def _cut(answer: Answer, cut: Json) -> Answer:
    told = isinstance(cut, int) and not isinstance(cut, bool)
    length = cut if told and isinstance(cut, int) else len(answer.body) // 2
    return replace(answer, cut=length)


def _seconds(value: Json) -> float:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        return 0.0
