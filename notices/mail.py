"""The way to the mail server. Plain text, one message, ten seconds."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from config import Config

DEADLINE = 10.0  # seconds for each step of the conversation with the mail server


class NotMailed(Exception):
    """The mail server could not be reached, or did not take it: try again later."""


@dataclass(frozen=True)
class Letter:
    to: Sequence[str]
    subject: str
    body: str
    name: str  # the same for the same letter: whoever gets it twice can tell


def is_possible(config: Config) -> bool:
    return bool(config.smtp_url)


def send(config: Config, letter: Letter) -> None:
    """Hands the letter to the mail server. Raises NotMailed."""
    parts = urlsplit(config.smtp_url)
    host = parts.hostname or ""
    try:
        with _connected(parts.scheme, host, parts.port) as server:
            if parts.scheme == "smtp" and (server.has_extn("starttls") or parts.password):
                server.starttls(context=ssl.create_default_context())
            if parts.password:
                server.login(unquote(parts.username or ""), unquote(parts.password))
            server.send_message(_message(config, letter))
    except (smtplib.SMTPException, OSError) as problem:
        # Without the server's words: they may repeat what we said to it.
        raise NotMailed(f"{host}: {type(problem).__name__}") from None


def _connected(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port or 465, timeout=DEADLINE, context=context
        )
    else:
        server = smtplib.SMTP(host, port or 587, timeout=DEADLINE)
    server.ehlo_or_helo_if_needed()
    return server


def _message(config: Config, letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["From"] = config.mail_from
    message["To"] = ", ".join(letter.to)
    message["Subject"] = " ".join(letter.subject.split())  # a company's name may hold a line break
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{letter.name}@{config.mail_from.rpartition('@')[2].strip('<> ')}>"
    message["Auto-Submitted"] = "auto-generated"  # no automatic replies, please
    message.set_content(letter.body)
    return message
