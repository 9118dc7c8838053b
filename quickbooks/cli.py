"""Commands: `flask --app app tokens …`."""

import click
from flask import current_app
from flask.cli import AppGroup

from quickbooks import tokens

group = AppGroup("tokens", help="The keys that QuickBooks tokens are encrypted with.")


@group.command("new-key")
def new_key() -> None:
    """Print a new key for TOKEN_KEYS. See docs/runbook.md for its use."""
    click.echo(tokens.new_key())


@group.command("rotate")
def rotate() -> None:
    """Encrypt every stored token again with the first of TOKEN_KEYS."""
    app = current_app.extensions["dunahub"]
    click.echo(f"{tokens.rotate(app.sessions, app.config)} tokens encrypted with the first key.")


@group.command("forget-unreadable")
def forget_unreadable() -> None:
    """After losing a key: ask owners whose tokens cannot be decrypted to sign in again."""
    app = current_app.extensions["dunahub"]
    click.echo(f"{tokens.forget_unreadable(app.sessions, app.config)} sign-ins were ended.")
