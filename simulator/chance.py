"""Random numbers, from the operating system or from a seed that makes runs repeatable."""

from __future__ import annotations

import base64
import random


class Chance:
    def __init__(self, seed: int | str | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()

    def url_safe(self, size: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(size)).rstrip(b"=").decode()

    def letters(self, count: int) -> str:
        return "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=count))
