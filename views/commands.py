"""Commands: `flask --app app admin …`."""

import click
from flask.cli import AppGroup
from sqlalchemy import func, select

from models.accounts import AuditEvent, Role, User
from models.passwords import hash_password
from web.access import dunahub

SHORTEST_PASSWORD = 12  # for someone who sees every organization

group = AppGroup("admin", help="DunaHub's own staff.")


@group.command("create")
@click.option("--email", prompt="E-mail", help="What they sign in with.")
@click.option("--name", prompt="Name", help="How the audit log calls them.")
@click.password_option(help="Asked for when left out, so that no shell history has it.")
def create(email: str, name: str, password: str) -> None:
    """Make an account that sees every organization's outbox."""
    email, name = email.strip(), name.strip()
    if "@" not in email or not name:
        raise click.ClickException("An e-mail address and a name are needed.")
    if len(password) < SHORTEST_PASSWORD:
        raise click.ClickException(f"Use a password of {SHORTEST_PASSWORD} characters or more.")
    with dunahub().sessions.begin() as session:
        if session.scalar(
            select(User.id).where(
                func.lower(User.email) == email.lower(), User.removed_at.is_(None)
            )
        ):
            raise click.ClickException(f"There is an account for {email} already.")
        admin = User(email=email, name=name, password_hash=hash_password(password), role=Role.ADMIN)
        session.add(admin)
        session.flush()
        session.add(
            AuditEvent(user_id=admin.id, action="admin.created", details={"by": "command line"})
        )
    click.echo(f"{name} can sign in as {email}.")
