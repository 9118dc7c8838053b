"""Responses: JSON or XML bodies, faults, gateway errors, and Intuit's headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from simulator.chance import Chance
from simulator.clock import envelope_time
from simulator.documents import Document, dump_json
from simulator.markup import fault_xml, to_xml
from simulator.refusals import Fault, fault_body, gateway_body

JSON_SUCCESS = "application/json;charset=utf-8"
JSON_ERROR = "application/json"
XML = "application/xml"
HTML = "text/html"

QBO_VERSION = "1988.128"
_CACHING = {
    "Expires": "0",
    "Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private",
}
_TRANSPORT = {"Server": "nginx", "Strict-Transport-Security": "max-age=15552000"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = JSON_SUCCESS
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # the connection ends after this many bytes


def new_tid(epoch: float, chance: Chance) -> str:
    return f"1-{int(epoch):08x}-{chance.hex(12)}"


def wire_headers(answer: Answer, tid: str, milliseconds: int) -> dict[str, str]:
    headers = {"Content-Type": answer.content_type, "intuit_tid": tid, **_TRANSPORT}
    headers["X-Spanid"] = f"{tid[2:10]}-{tid[11:15]}-{tid[15:19]}-{tid[19:23]}-{tid[23:35]}0"
    headers["X-Amzn-Trace-Id"] = f"Root={tid}"
    if answer.status == 200:
        headers["QBO-Version"] = QBO_VERSION
        headers["Service-Time"] = f"total={milliseconds}, db={milliseconds // 2}"
        headers.update(_CACHING)
    headers.update(answer.headers)
    return headers


# Bodies --------------------------------------------------------------------------------------


def success(content: Document, now: float, as_xml: bool = False) -> Answer:
    """Wraps `content` in its envelope: {"Invoice": {…}} and the time."""
    if as_xml:
        return Answer(200, to_xml(content, now), XML)
    return Answer(200, dump_json({**content, "time": envelope_time(now)}))


def fault(faults: tuple[Fault, ...], language: str, now: float, as_xml: bool = False) -> Answer:
    body = fault_body(faults, language)
    status = faults[0].status
    if as_xml:
        return Answer(status, fault_xml(body, now), XML)
    return Answer(status, dump_json({"Fault": body, "time": envelope_time(now)}), JSON_ERROR)


def gateway(
    status: int, code: str, name: str, detail: str | None, kind: str, now: float, as_xml: bool
) -> Answer:
    """401, 403 and 429 come from the gateway, whose bodies have another shape."""
    message = f"message={name}; errorCode={int(code):06d}; statusCode={status}"
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Intuit", error="invalid_token"'
    if as_xml:
        body: Document = {
            "Error": [{"Message": message, "Detail": detail, "code": code}],
            "type": kind,
        }
        return Answer(status, fault_xml(body, now), XML, headers)
    content = dump_json(gateway_body(message, detail, code, kind, now))
    return Answer(status, content, JSON_ERROR, headers)


def throttled(now: float, as_xml: bool, retry_after: int | None) -> Answer:
    detail = "The request limit was reached.  Try again later"
    answer = gateway(429, "3001", "ThrottleExceeded", detail, "SERVICE", now, as_xml)
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def unauthorized(now: float, as_xml: bool) -> Answer:
    name = "ApplicationAuthorizationFailed"
    return gateway(403, "3100", name, None, "SERVICE", now, as_xml)


def unauthenticated(token: str, now: float, as_xml: bool) -> Answer:
    detail = f"Token expired: {token}" if token else "EmptyField (oauth_token)"
    name = "AuthenticationFailed" if token else "EmptyField"
    code = "3200" if token else "3202"
    return gateway(401, code, name, detail, "AUTHENTICATION", now, as_xml)


def html_error(status: int) -> Answer:
    title = f"{status} {HTTPStatus(status).phrase}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>"
        "</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), HTML)
