"""A mail server on this machine, for tests that read letters."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Conversation

from development.stack import free_port
from notices import mail


@dataclass
class PostOffice:
    """A mail server that keeps what it gets."""

    port: int
    letters: list[Message] = field(default_factory=list)
    refuses: bool = False

    async def handle_DATA(  # noqa: N802  (the library's name)
        self, _server: SMTP, _conversation: Conversation, envelope: Envelope
    ) -> str:
        if self.refuses:
            return "451 try again later"
        assert isinstance(envelope.content, bytes)
        self.letters.append(message_from_bytes(envelope.content))
        return "250 taken"

    def taken(self) -> list[tuple[str, str]]:
        """Recipient and subject of each letter since the last look."""
        found = [(str(letter["To"]), str(letter["Subject"])) for letter in self.letters]
        self.letters.clear()
        return found


def text_of(letter: Message) -> str:
    """What it says, however it is encoded."""
    content = letter.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


@contextmanager
def running_post_office() -> Iterator[PostOffice]:
    kept = PostOffice(free_port())
    controller = Controller(kept, hostname="127.0.0.1", port=kept.port)
    controller.start()
    try:
        yield kept
    finally:
        mail.wait_until_sent()  # a letter sent while the server stops would be an error
        controller.stop()
