"""Commands: `flask --app app tokens …`."""

import click
from flask import current_app
from flask.cli import AppGroup

from quickbooks import tokens

group = AppGroup("tokens", help="The keys that QuickBooks tokens are encrypted with.")


@group.command("new-key")
def new_key() -> None:
    """Print a new key. Put it first in TOKEN_KEYS, restart, rotate, then drop the old one."""
    click.echo(tokens.new_key())


@group.command("rotate")
def rotate() -> None:
    """Encrypt every stored token anew with the first of TOKEN_KEYS."""
    app = current_app.extensions["dunahub"]
    click.echo(f"{tokens.rotate(app.sessions, app.config)} tokens encrypted with the first key.")
