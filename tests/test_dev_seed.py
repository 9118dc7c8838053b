"""The demo organizations of bin/dev."""

import pytest
from sqlalchemy import Engine, func, select, text

from app import create_app
from config import BadConfig, Config
from db import Sessions
from development.seed import seed_once
from models.accounts import Organization, User
from models.passwords import DEMO_EMAILS, DEMO_PASSWORD, check_password


def test_the_demo_people_are_there_and_can_sign_in(database_url: str, sessions: Sessions) -> None:
    seed_once(database_url)
    with sessions() as session:
        people = {user.email: user for user in session.scalars(select(User))}
    assert set(people) == set(DEMO_EMAILS)
    assert check_password(people["ana@rivera.example"].password_hash, DEMO_PASSWORD)
    assert people["ana@rivera.example"].is_owner
    assert people["admin@dunahub.example"].is_admin


def test_a_database_in_use_is_left_alone(database_url: str, sessions: Sessions) -> None:
    seed_once(database_url)
    with sessions() as session:
        session.delete(session.scalars(select(User).where(User.email.startswith("tom"))).one())
        session.commit()
    seed_once(database_url)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(User)) == len(DEMO_EMAILS) - 1
        assert session.scalar(select(func.count()).select_from(Organization)) == 3


REAL = {
    "QUICKBOOKS_ENVIRONMENT": "sandbox",
    "QUICKBOOKS_CLIENT_ID": "an-app",
    "QUICKBOOKS_CLIENT_SECRET": "9a7c1e5f3b8d2460",
    "SECRET_KEY": "kR7vQ2xW9mZ4pT6yB1nC8sD3fG5hJ0aL",
    "BASE_URL": "http://localhost",
    "CALL_DEADLINE": "60",
    "LEASE": "75",
    "RESEND_AFTER": "125",
}


def test_no_real_company_is_served_while_a_demo_account_is_there(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT")
    config = Config.from_environ(environ | REAL)
    create_app(config).extensions["dunahub"].database.dispose()
    seed_once(config.database_url)
    with pytest.raises(BadConfig, match="demo accounts"):
        create_app(config)


def test_production_is_not_served_from_a_database_that_forgets_commits(
    environ: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT")
    production = {"QUICKBOOKS_ENVIRONMENT": "production", "BASE_URL": "https://dunahub.example"}
    config = Config.from_environ(environ | REAL | production)
    for setting in ("on", "off"):
        with engine.begin() as connection:
            database = connection.scalar(text("SELECT current_database()"))
            connection.execute(
                text(f"ALTER DATABASE {database} SET synchronous_commit = {setting}")
            )
        if setting == "on":
            create_app(config).extensions["dunahub"].database.dispose()
            continue
        with pytest.raises(BadConfig, match="synchronous_commit = off"):
            create_app(config)
