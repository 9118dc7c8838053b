"""The demo organizations of bin/dev."""

from sqlalchemy import func, select

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
