"""bin/dev: DunaHub and a simulated QuickBooks on this machine, until Ctrl-C."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import BadConfig
from development.database import NotOurs
from development.mailbox import running_mailbox
from development.postgres import PostgresFailed
from development.stack import CannotStart, Stack, running_stack
from models.passwords import DEMO_PASSWORD

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

SIGN_INS = """\
  ana@rivera.example      owner of Rivera Plumbing LLC (US)
  tom@rivera.example      member there
  carla@oakhvac.example   owner of Oak HVAC Inc (US)
  bruno@silva.example     owner of Silva Reformas (BR: no QuickBooks)
  admin@dunahub.example   DunaHub's own staff"""


def main() -> int:
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        data = Path(os.environ.get("DATA_DIR") or "var").resolve()
        simulator_port = _port("SIMULATOR_PORT", 5001)
        stripe_port = _port("STRIPE_PORT", simulator_port + 1)
        with (
            _mail(data) as mail,
            running_stack(
                data, _port("PORT", 5000), simulator_port, stripe_port, {**os.environ, **mail}
            ) as stack,
        ):
            print(_welcome(stack, data), flush=True)
            while not (ended := stack.ended_child()):
                time.sleep(0.2)
            raise CannotStart(ended.last_words() + "\nEverything else was stopped.")
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0
    except (CannotStart, NotOurs, PostgresFailed, BadConfig) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1


@contextmanager
def _mail(data: Path) -> Iterator[dict[str, str]]:
    """Settings for letters to be kept as files, unless there is a mail server."""
    if os.environ.get("SMTP_URL") or os.environ.get("SMTP_URL_FILE"):
        yield {}
        return
    with running_mailbox(data / "mail") as url:
        yield {"SMTP_URL": url, "MAIL_FROM": "DunaHub <mail@dunahub.example>"}


def _interrupt(*_: object) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # once is enough; stopping takes some seconds
    raise KeyboardInterrupt


def _port(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and value.isdigit()) or not 0 < int(value) < 65_536:
        raise CannotStart(f"{name} is {value!r}; it must be a port number.")
    return int(value)


def _welcome(stack: Stack, data: Path) -> str:
    if stack.simulator_url is None:
        return f"\nDunaHub     {stack.url}\nQuickBooks  Intuit's own\n\nCtrl-C stops it."
    return f"""
DunaHub     {stack.url}
QuickBooks  {stack.simulator_url}  (simulated)
Stripe      {f"{stack.stripe_url}  (simulated)" if stack.stripe_url else "Stripe's own"}

Sign in with password {DEMO_PASSWORD}:
{SIGN_INS}

Ctrl-C stops it. Data and logs are in {data}, letters that would be mailed in {data / "mail"}."""


if __name__ == "__main__":
    sys.exit(main())
