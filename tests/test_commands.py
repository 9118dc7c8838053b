"""The commands an operator has on a terminal."""

from collections.abc import Sequence

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.accounts import AuditEvent, User
from models.passwords import check_password
from outbox import scheduler
from tests.support.firm import entries_of, new_firm_with_lane, new_lead


def run(app: Flask, *words: str, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=words, input=typed)


def fail(session: Session) -> Sequence[int]:
    ids = [entry.id for entry in entries_of(session)]
    session.execute(text("UPDATE outbox SET state = 'failed', settled_at = now()"))
    session.commit()
    return ids


def test_status_names_what_waits_and_what_needs_attention(app: Flask, session: Session) -> None:
    assert "Nothing waits" in run(app, "outbox", "status").output
    firm, _ = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    fail(session)
    session.add_all([new_lead(firm, "Second"), new_lead(firm, "Third")])
    session.commit()
    line = run(app, "outbox", "status").output.splitlines()[1]
    assert line.split()[0] == "2"
    assert line.split()[2:] == ["1", "open", "Rivera", "Plumbing", "LLC"]


def test_requeue_by_number_is_audited_and_says_what_it_refused(
    app: Flask, session: Session
) -> None:
    firm, _ = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    [entry] = fail(session)
    done = run(app, "outbox", "requeue", str(entry), "9999", "--reason", "owner called")
    assert done.exit_code == 1
    assert "1 will be sent again." in done.output
    assert "#9999 refused" in done.output
    assert [e.state for e in entries_of(session)] == ["pending"]
    event = session.scalars(select(AuditEvent)).one()
    assert (event.organization_id, event.reason) == (firm, "owner called")


def test_requeue_wants_a_reason(app: Flask) -> None:
    assert "--reason" in run(app, "outbox", "requeue", "1").output


def test_drain_sends_what_is_due_and_starts_no_engine(app: Flask, session: Session) -> None:
    """Without a connection the call is refused before it is sent: the entry keeps its attempts."""
    firm, _ = new_firm_with_lane(session)
    session.add(new_lead(firm))
    session.commit()
    done = run(app, "outbox", "drain")
    assert done.exit_code == 0, done.output
    assert "Drained 1 lanes" in done.output
    assert scheduler.current() is None
    [entry] = entries_of(session)
    assert (entry.state, entry.attempts) == ("pending", 0)


def test_the_first_admin_is_made_on_a_terminal(app: Flask, session: Session) -> None:
    words = ["admin", "create", "--email", "Ops@dunahub.test", "--name", "Ops"]
    done = run(app, *words, typed="a long password\na long password\n")
    assert done.exit_code == 0, done.output
    admin = session.scalars(select(User)).one()
    assert (admin.role, admin.organization_id) == ("admin", None)
    assert check_password(admin.password_hash, "a long password")
    again = run(app, *words, typed="a long password\na long password\n")
    assert "already" in again.output


@pytest.mark.parametrize("password", ["short", "elevenchars"])
def test_a_short_password_is_refused_for_staff(app: Flask, session: Session, password: str) -> None:
    words = ["admin", "create", "--email", "a@b.test", "--name", "A", "--password", password]
    assert run(app, *words).exit_code == 1
    assert session.scalars(select(User)).all() == []
