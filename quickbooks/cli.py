"""Commands: `flask --app app tokens …`."""

import click
from flask import current_app
from flask.cli import AppGroup

from quickbooks import tokens

group = AppGroup("tokens", help="The keys that the QuickBooks sign-ins are encrypted with.")


@group.command("new-key")
def new_key() -> None:
    """Print a new key. Put it first in TOKEN_KEYS, restart, then run `rotate`."""
    click.echo(tokens.new_key())


@group.command("rotate")
def rotate() -> None:
    """Encrypt every stored sign-in anew with the first of TOKEN_KEYS."""
    dunahub = current_app.extensions["dunahub"]
    count = tokens.rotate(dunahub.sessions, dunahub.config)
    click.echo(f"{count} tokens are encrypted with the first key now. Older keys may go.")
