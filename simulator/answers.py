"""What goes back over the wire: JSON or XML, faults and gateway errors, Intuit's headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from xml.sax.saxutils import escape, quoteattr

from simulator.chance import Chance
from simulator.clock import envelope_time
from simulator.documents import Document, Json, dump_json
from simulator.refusals import Fault, fault_body, gateway_body

JSON_SUCCESS = "application/json;charset=utf-8"
JSON_ERROR = "application/json"
XML = "application/xml"
HTML = "text/html"

QBO_VERSION = "1988.128"
NAMESPACE = "http://schema.intuit.com/finance/v3"
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
    cut: int | None = None  # only so many bytes go out before the connection ends


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
    """`content` in its envelope: {"Invoice": {…}} and the time."""
    if as_xml:
        return Answer(200, to_xml(content, now), XML)
    return Answer(200, dump_json({**content, "time": envelope_time(now)}))


def fault(faults: tuple[Fault, ...], language: str, now: float, as_xml: bool = False) -> Answer:
    body = fault_body(faults, language)
    status = faults[0].status
    if as_xml:
        return Answer(status, _fault_xml(body, now), XML)
    return Answer(status, dump_json({"Fault": body, "time": envelope_time(now)}), JSON_ERROR)


def gateway(
    status: int, code: str, name: str, detail: str | None, kind: str, now: float, as_xml: bool
) -> Answer:
    """401, 403 and 429 come from the gateway, with bodies of its own shape."""
    message = f"message={name}; errorCode={int(code):06d}; statusCode={status}"
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Intuit", error="invalid_token"'
    if as_xml:
        body: Document = {
            "Error": [{"Message": message, "Detail": detail, "code": code}],
            "type": kind,
        }
        return Answer(status, _fault_xml(body, now), XML, headers)
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


# XML -----------------------------------------------------------------------------------------


def to_xml(content: Document, now: float) -> bytes:
    """Our documents as Intuit's XML: references as attributes, lists as repeated elements."""
    inside = "".join(_elements(name, value) for name, value in content.items())
    return _enveloped(inside, now)


def _enveloped(inside: str, now: float) -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    time = envelope_time(now)
    return (
        f'{head}<IntuitResponse xmlns="{NAMESPACE}" time="{time}">{inside}</IntuitResponse>'
    ).encode()


def _elements(name: str, value: Json) -> str:
    if isinstance(value, list):
        return "".join(_elements(name, each) for each in value)
    if not isinstance(value, dict):
        return f"<{name}>{escape(_xml_text(value))}</{name}>"
    if set(value) <= {"value", "name"} and "value" in value:
        named = f" name={quoteattr(_xml_text(value['name']))}" if "name" in value else ""
        return f"<{name}{named}>{escape(_xml_text(value['value']))}</{name}>"
    attributes = "".join(f" {key}={quoteattr(_xml_text(value[key]))}" for key in _attributes(value))
    children = "".join(
        _elements(key, each) for key, each in value.items() if key not in XML_ATTRIBUTES
    )
    return f"<{name}{attributes}>{children}</{name}>"


XML_ATTRIBUTES = frozenset(
    {"domain", "sparse", "startPosition", "maxResults", "totalCount", "status", "bId"}
)


def _attributes(value: Document) -> Iterable[str]:
    return (key for key in value if key in XML_ATTRIBUTES)


def _xml_text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return "" if value is None else str(value)


def _fault_xml(body: Document, now: float) -> bytes:
    errors = body["Error"]
    inside = ""
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            code = quoteattr(_xml_text(error.get("code")))
            element = error.get("element")
            told = f" element={quoteattr(_xml_text(element))}" if element else ""
            message = escape(_xml_text(error.get("Message")))
            detail = escape(_xml_text(error.get("Detail")))
            inside += f"<Error code={code}{told}><Message>{message}</Message>"
            inside += f"<Detail>{detail}</Detail></Error>"
    return _enveloped(f"<Fault type={quoteattr(_xml_text(body['type']))}>{inside}</Fault>", now)
