"""The letters that DunaHub sends on this machine, kept as files to read."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from development.stack import free_port


class Mailbox:
    """Takes every letter and delivers none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        letter = BytesParser(policy=default).parsebytes(envelope.content)
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self.folder.iterdir())) + 1
        (self.folder / f"{number:04}.txt").write_text(_readable(letter, envelope.rcpt_tos))
        return "250 OK"


def _readable(letter: EmailMessage, recipients: list[str]) -> str:
    body = letter.get_body(("plain",))
    attached = [str(part.get_filename()) for part in letter.iter_attachments()]
    head = [
        f"To: {', '.join(recipients)}",
        *(f"{name}: {letter[name]}" for name in ("From", "Reply-To", "Subject") if letter[name]),
        *(f"Attached: {name}" for name in attached),
    ]
    return "\n".join([*head, "", body.get_content() if body else ""])


@contextmanager
def running_mailbox(folder: Path) -> Iterator[str]:
    """Yields its SMTP_URL."""
    port = free_port()
    controller = Controller(Mailbox(folder), hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()
