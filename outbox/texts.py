"""Makes texts from outside storable in PostgreSQL."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one JSON parameter."""
    written = json.dumps(rows, default=str)
    if "\\u0000" in written or "\\ud" in written:  # a NUL, or a surrogate that may be unpaired
        return json.dumps([storable(row) for row in rows], default=str)
    return written


def storable(value: Any) -> Any:
    """The value without characters that PostgreSQL rejects: its settle would be retried forever."""
    match value:
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case Mapping():
            return {storable(key): storable(each) for key, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
        case _:
            return value
