"""Commands: `flask --app app admin …` and `flask --app app people …`."""

import click
from flask.cli import AppGroup
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from models.accounts import AuditEvent, LinkPurpose, RecoveryCode, Role, User
from models.passwords import hash_password, is_guessable
from notices import mail
from notices.people import second_factor_letter
from web import account_links
from web.access import dunahub

MIN_PASSWORD_LENGTH = 12  # for a person who sees every organization

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
    if len(password) < MIN_PASSWORD_LENGTH:
        raise click.ClickException(f"Use a password of {MIN_PASSWORD_LENGTH} characters or more.")
    if is_guessable(password, [name, *email.split("@")]):
        raise click.ClickException("This password is easy to guess. Use several words.")
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


people = AppGroup("people", help="Who can sign in: new passwords, sessions, removals.")
WHOSE = click.option("--email", prompt="E-mail", help="What they sign in with.")


@people.command("reset")
@WHOSE
@click.option("--second-factor", is_flag=True, help="Also take away their second factor.")
def reset(email: str, second_factor: bool) -> None:
    """Sign a person out everywhere and print a link to set a new password."""
    with dunahub().sessions.begin() as session:
        user = _person(session, email)
        account_links.end_access(session, user)
        had_factor = user.totp_secret is not None
        if second_factor:
            user.totp_secret = user.totp_step = None
            session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
        secret = account_links.new_link(session, user, LinkPurpose.PASSWORD, user.email)
        _note(session, user, "account.reset_by_operator", second_factor=second_factor)
    config = dunahub().config
    if second_factor and had_factor:
        mail.send_later(config, second_factor_letter(user, "off", config.base_url))
        mail.wait_until_sent()
    link = account_links.address_of(config, secret)
    click.echo(f"{user.name} is signed out everywhere. For a new password, within 30 minutes:")
    click.echo(link)


@people.command("sign-up")
@click.option("--email", prompt="E-mail", help="What they will sign in with.")
def sign_up(email: str) -> None:
    """Print a link with which a person signs up a company, where no e-mail is sent."""
    email = email.strip()
    if "@" not in email:
        raise click.ClickException("An e-mail address is needed.")
    with dunahub().sessions.begin() as session:
        secret = account_links.new_sign_up(session, email)
    click.echo(f"To sign up a company as {email}, within 24 hours:")
    click.echo(account_links.address_of_sign_up(dunahub().config, secret))


@people.command("sign-out")
@WHOSE
def sign_out(email: str) -> None:
    """End all sessions of a person."""
    with dunahub().sessions.begin() as session:
        user = _person(session, email)
        account_links.end_access(session, user)
        _note(session, user, "account.signed_out_by_operator")
    click.echo(f"{user.name} is signed out everywhere.")


@people.command("remove")
@WHOSE
def remove(email: str) -> None:
    """Remove a person: end their sessions and refuse sign-in. What they did stays in the log."""
    with dunahub().sessions.begin() as session:
        user = _person(session, email)
        account_links.end_access(session, user)
        user.removed_at = func.clock_timestamp()
        account_links.end_grants(session, user)
        _note(session, user, "account.removed_by_operator")
    click.echo(f"{user.name} is removed and signed out everywhere.")


def _person(session: Session, email: str) -> User:
    found = session.scalars(
        select(User)
        .where(func.lower(User.email) == email.strip().lower(), User.removed_at.is_(None))
        .with_for_update(of=User)
    ).one_or_none()
    if found is None:
        raise click.ClickException(f"Nobody signs in with {email.strip()}.")
    return found


def _note(session: Session, user: User, action: str, **details: object) -> None:
    session.add(
        AuditEvent(
            organization_id=user.organization_id,
            action=action,
            details={"email": user.email, "by": "command line", **details},
        )
    )
