"""Stripe's wire format: nested forms in, JSON out, errors with type and code."""

import re
from collections.abc import Iterable
from typing import Any

Fields = dict[str, Any]

_PART = re.compile(r"\[([^\]]*)\]")


class Problem(Exception):
    """An error response."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type_: str = "invalid_request_error",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Fields = {
            "error": {"type": type_, "code": code, "message": message, "param": param}
        }


def nested(pairs: Iterable[tuple[str, str]]) -> Fields:
    """Parses `a[b][0]=x` and `a[]=x` into objects and lists."""
    root: Fields = {}
    for name, value in pairs:
        head, _, _rest = name.partition("[")
        path = [head, *_PART.findall(name)]
        place = root
        for step in path[:-1]:
            place = place.setdefault(_step(step, place), {})
        place[_step(path[-1], place)] = value
    listed: Fields = _with_lists(root)
    return listed


def _step(step: str, place: Fields) -> str:
    return step or str(len(place))


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(one) for key, one in value.items()}


def only(fields: Fields, known: str, within: str = "") -> None:
    """Refuses unknown parameters, like Stripe."""
    for name in fields:
        if name not in known.split():
            full = f"{within}[{name}]" if within else name
            raise Problem(
                400, "parameter_unknown", f"Received unknown parameter: {full}", param=full
            )


def whole(fields: Fields, name: str) -> int:
    text = str(fields.get(name, ""))
    if not re.fullmatch(r"-?\d+", text):
        raise Problem(400, "parameter_invalid_integer", f"Invalid integer: {text}", param=name)
    return int(text)


def required(fields: Fields, name: str) -> Any:
    if name not in fields:
        raise Problem(400, "parameter_missing", f"Missing required param: {name}.", param=name)
    return fields[name]


def missing(kind: str, key: str) -> Problem:
    return Problem(404, "resource_missing", f"No such {kind}: '{key}'", param="id")
