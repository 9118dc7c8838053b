"""Sends mail over SMTP: plain text, one message at a time."""

import smtplib
import ssl
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, formatdate, parseaddr
from urllib.parse import unquote, urlsplit

import structlog

from config import Config
from notices.quoting import plain_name

log = structlog.get_logger()

SMTP_TIMEOUT = 10.0  # seconds for each step of the SMTP conversation


class NotMailed(Exception):
    """The mail server was unreachable or refused the letter: try again later."""


@dataclass(frozen=True)
class Letter:
    to: Sequence[str]
    subject: str
    body: str
    name: str  # same for the same letter, so that mail programs recognize a duplicate
    sender: str = ""  # display name for our address
    reply_to: str = ""
    copy_to: str = ""
    attached: Sequence[tuple[str, bytes]] = ()  # (file name, content) of PDFs


def is_possible(config: Config) -> bool:
    return bool(config.smtp_url)


def send(config: Config, letter: Letter) -> None:
    """Hands the letter to the mail server. Raises NotMailed."""
    parts = urlsplit(config.smtp_url)
    host = parts.hostname or ""
    try:
        message = _message(config, letter)
    except (ValueError, LookupError, AttributeError, TypeError) as problem:
        # An odd address, like =?utf-8?q?=0d=0a?=@oak.example: the library's parser refuses it.
        raise NotMailed(f"not written: {type(problem).__name__}") from problem
    try:
        with _connected(parts.scheme, host, parts.port) as server:
            if parts.scheme == "smtp" and (server.has_extn("starttls") or parts.password):
                server.starttls(context=ssl.create_default_context())
            if parts.password:
                server.login(unquote(parts.username or ""), unquote(parts.password))
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as problem:
        # Without the server's reply, which may repeat our credentials.
        raise NotMailed(f"{host}: {type(problem).__name__}") from None


_later = ThreadPoolExecutor(2, thread_name_prefix="mail")
_out: set[Future[None]] = set()


def send_later(config: Config, letter: Letter) -> None:
    """Sends it after the response, so that the response time doesn't reveal whether a letter was
    sent. Failures are logged; the person can ask again."""
    if is_possible(config):
        sending = _later.submit(_send_or_log, config, letter)
        _out.add(sending)
        sending.add_done_callback(_out.discard)


def wait_until_sent() -> None:
    """For tests, and for commands that would end before their letters are sent."""
    wait(list(_out))


def _send_or_log(config: Config, letter: Letter) -> None:
    try:
        send(config, letter)
    except NotMailed as problem:
        log.error("letter not mailed", letter=letter.name, problem=str(problem))


def _connected(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port or 465, timeout=SMTP_TIMEOUT, context=context
        )
    else:
        server = smtplib.SMTP(host, port or 587, timeout=SMTP_TIMEOUT)
    server.ehlo_or_helo_if_needed()
    return server


def _message(config: Config, letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["From"] = _from(config, letter)
    message["To"] = ", ".join(letter.to)
    if letter.copy_to:
        message["Bcc"] = letter.copy_to  # removed by smtplib when it sends
    if letter.reply_to:
        message["Reply-To"] = letter.reply_to
    message["Subject"] = _line(letter.subject)
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{letter.name}@{config.mail_from.rpartition('@')[2].strip('<> ')}>"
    message["Auto-Submitted"] = "auto-generated"  # suppresses automatic replies
    message.set_content(letter.body)
    for name, content in letter.attached:
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return message


def _from(config: Config, letter: Letter) -> str:
    """Our address, for a firm's letters with its name: we may only send from our own address.
    Since anyone who signs up chooses that name, it says that the letter comes through us."""
    if not letter.sender:
        return config.mail_from
    name = f"{plain_name(letter.sender)} via DunaHub"
    return formataddr((_line(name), parseaddr(config.mail_from)[1]))


def _line(text: str) -> str:
    """The text on one line, and as it is: the library would decode =?utf-8?q?=0d=0aBcc:…?= and so
    write headers that a stranger chose."""
    return " ".join(text.replace("=?", "= ?").split())
