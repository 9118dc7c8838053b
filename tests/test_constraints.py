"""A refusal of the database is explained by the constraint that caused it, not by the usual one."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import breaks
from tests.support.firm import new_firm


def _refusal(session: Session, statement: str) -> IntegrityError:
    with pytest.raises(IntegrityError) as raised, session.begin_nested():
        session.execute(text(statement))
    return raised.value


def test_case_s10_each_kind_of_refusal_is_known_by_its_name(session: Session) -> None:
    firm = new_firm(session)
    session.execute(
        text(
            "INSERT INTO users (organization_id, email, name, password_hash, role)"
            f" VALUES ({firm}, 'ana@rivera.example', 'Ana', 'x', 'owner')"
        )
    )
    taken = _refusal(
        session,
        "INSERT INTO users (organization_id, email, name, password_hash, role)"
        f" VALUES ({firm}, 'ANA@rivera.example', 'Ana', 'x', 'owner')",
    )
    assert breaks(taken, "uq_users_email")
    nobody = _refusal(
        session,
        "INSERT INTO users (organization_id, email, name, password_hash, role)"
        " VALUES (999999, 'tom@rivera.example', 'Tom', 'x', 'owner')",
    )
    assert not breaks(nobody, "uq_users_email")
    assert breaks(nobody, "fk_users_organization_id")
    nameless = _refusal(
        session,
        "INSERT INTO users (organization_id, email, password_hash, role)"
        f" VALUES ({firm}, 'tom@rivera.example', 'x', 'owner')",
    )
    assert not breaks(nameless, "uq_users_email")
