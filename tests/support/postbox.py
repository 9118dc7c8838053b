"""A mail server that keeps what it gets."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller

from development.stack import free_port


class Postbox:
    """A mail server that keeps what it gets, or refuses it."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.is_closed = False

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.is_closed:
            return "451 Try again later"
        self.to.append(envelope.rcpt_tos)
        self.letters.append(BytesParser(policy=default).parsebytes(envelope.content))
        return "250 OK"


@contextmanager
def running_postbox() -> Iterator[tuple[Postbox, int]]:
    """The server and its port."""
    box, port = Postbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()
