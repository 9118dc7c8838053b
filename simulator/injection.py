"""Faults on demand: rules that match calls and say what goes wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from simulator.documents import Document, Json, part_of, text_of


@dataclass(frozen=True, slots=True)
class Call:
    """The properties of a call that rules can match."""

    method: str
    path: str
    realm: str = ""
    entity: str = ""
    operation: str = ""
    body: str = ""


@dataclass(slots=True)
class Rule:
    match: Document
    do: Document
    nth: int | None = None  # only the nth matching call, counted from 1
    times: int | None = None  # maximum number of calls, from the first (or the nth) on
    seen: int = 0
    used: int = 0

    def takes(self, call: Call) -> bool:
        """Whether the rule applies to this call; counts the call if it matches."""
        if not self._matches(call):
            return False
        self.seen += 1
        first = self.nth or 1
        most = self.times if self.times is not None else (1 if self.nth else None)
        if self.seen < first or (most is not None and self.used >= most):
            return False
        self.used += 1
        return True

    def _matches(self, call: Call) -> bool:
        exact = {
            "method": call.method,
            "entity": call.entity,
            "operation": call.operation,
            "realm": call.realm,
        }
        for key, value in exact.items():
            wanted = self.match.get(key)
            if isinstance(wanted, str) and wanted.lower() != value.lower():
                return False
        for key, text in (("path", call.path), ("body", call.body)):
            wanted = self.match.get(key)
            if isinstance(wanted, str) and wanted not in text and not re.search(wanted, text):
                return False
        return True


@dataclass(slots=True)
class Injection:
    """The active rules. The first that applies to a call wins."""

    rules: list[Rule] = field(default_factory=list)

    def add(self, values: Document) -> Rule:
        """Adds a rule. Raises ValueError for one that could never have an effect."""
        match, do = part_of(values, "match"), part_of(values, "do")
        if not do:
            raise ValueError("a fault rule needs «do»")
        unknown = set(match) - MATCHES
        unknown |= set(do) - ACTIONS
        if unknown:
            raise ValueError(f"a fault rule does not know {', '.join(sorted(unknown))}")
        for key in ("path", "body"):
            try:
                re.compile(text_of(match, key))
            except re.error as error:
                raise ValueError(f"«{key}» is no regular expression: {error}") from error
        rule = Rule(match, do, _whole(match.get("nth")), _whole(match.get("times")))
        self.rules.append(rule)
        return rule

    def for_call(self, call: Call) -> Document:
        for rule in self.rules:
            if rule.takes(call):
                return rule.do
        return {}


MATCHES = {"method", "path", "body", "entity", "operation", "realm", "nth", "times"}
ACTIONS = {
    "delay",  # seconds before anything happens
    "delay_after",  # seconds between the commit and the answer
    "timeout",  # "before" | "after" the commit: no answer until the client gives up
    "reset",  # "before" | "after" the commit: the connection breaks
    "truncate",  # the answer ends halfway (true) or after this many bytes
    "status",  # this status with a suitable body, instead of the real answer
    "after_commit",  # with status or fault: the work is done anyway
    "answer_has",  # with status, fault, truncate: only if the real answer contains this text
    "answer_of",  # the answer shows the object with this id instead of the requested one
    "code",  # with status: a gateway's body with this code
    "body",  # with status: this body, text or JSON
    "headers",  # with status: additional headers
    "format",  # with status: json | xml | html
    "retry_after",  # with status 429: the header
    "fault",  # {"code", "message"?, "detail"?, "element"?, "type"?, "status"?}: an API fault
    "missing_bids",  # batch: omit these bIds, or this many, from the answer (they were executed)
    "item_fault",  # batch: {"bId"? or "index"?, "code", "after_commit"?, …}: that item, or each
    "bump_sync_token",  # another user edits the object just before
}


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
