"""E-mail: to the owner when something stopped, to operators when only they can fix it; once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from email.message import Message

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.accounts import Organization
from models.notices import Condition, Notice
from models.outbox import Dispatch, Entry, Lane
from models.quickbooks import Connection, Purpose
from notices.post import look_and_tell
from quickbooks import tokens
from quickbooks.standing import status_of
from simulator.testing import SimulatorHandle
from tests.support.firm import new_firm_with_lane, new_lead
from tests.support.office import RIVERA, Office, open_office
from tests.support.post_office import PostOffice, running_post_office

OWNER, OPERATOR = "ana@rivera.example", "ops@dunahub.example"


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    with running_post_office() as kept:
        yield kept


@pytest.fixture
def mailing(config: Config, post_office: PostOffice) -> Config:
    return replace(
        config,
        smtp_url=f"smtp://127.0.0.1:{post_office.port}",
        mail_from="notices@dunahub.example",
        operators=(OPERATOR,),
    )


@pytest.fixture
def office(
    sessions: Sessions, mailing: Config, simulator: SimulatorHandle, session: Session
) -> Office:
    office = open_office(sessions, mailing, simulator, session)
    office.connect()
    return office


def test_a_quiet_day_writes_to_nobody(office: Office, post_office: PostOffice) -> None:
    office.save(new_lead(office.firm))
    office.drain()
    assert look_and_tell(office.sessions, office.config) == 0
    assert post_office.taken() == []


def test_a_refused_sign_in_is_told_once_and_again_when_it_happens_again(
    office: Office, post_office: PostOffice
) -> None:
    _refuse(office)
    for _ in range(3):
        look_and_tell(office.sessions, office.config)
    letter = post_office.letters[0]
    words = _words(letter)
    assert "Nothing is lost" in words
    assert f"{office.config.base_url}/settings/quickbooks" in words
    assert letter["Auto-Submitted"] == "auto-generated"
    assert post_office.taken() == [(OWNER, "Reconnect QuickBooks: Rivera Plumbing LLC")]

    office.connect(purpose=Purpose.RECONNECT)
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []  # quiet when mended
    _move(office.session, Notice, "seen_at", timedelta(hours=1))
    look_and_tell(office.sessions, office.config)
    _refuse(office)
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == [(OWNER, "Reconnect QuickBooks: Rivera Plumbing LLC")]


def test_a_letter_that_cannot_be_written_stops_no_other(
    office: Office, post_office: PostOffice
) -> None:
    office.save(Notice(kind=Condition.APP_REFUSED, subject="odd", about={"company": 7}))
    _refuse(office)
    assert look_and_tell(office.sessions, office.config) == 1
    assert post_office.taken() == [(OWNER, "Reconnect QuickBooks: Rivera Plumbing LLC")]


def test_many_processes_tell_it_once(office: Office, post_office: PostOffice) -> None:
    _refuse(office)
    with ThreadPoolExecutor(6) as processes:
        told = list(
            processes.map(lambda _: look_and_tell(office.sessions, office.config), range(12))
        )
    assert sum(told) == 1
    assert len(post_office.taken()) == 1


def test_what_is_mended_before_the_mail_server_is_back_is_told_to_nobody(
    office: Office, post_office: PostOffice
) -> None:
    post_office.refuses = True
    _refuse(office)
    assert look_and_tell(office.sessions, office.config) == 0
    post_office.refuses = False
    assert look_and_tell(office.sessions, office.config) == 0  # not so soon again
    office.connect(purpose=Purpose.RECONNECT)
    _move(office.session, Notice, "available_at", timedelta(hours=1))
    assert look_and_tell(office.sessions, office.config) == 0
    assert post_office.taken() == []


def test_a_mail_server_that_is_away_costs_nothing_but_time(
    office: Office, post_office: PostOffice
) -> None:
    _refuse(office)
    away = replace(office.config, smtp_url="smtp://127.0.0.1:9")
    assert look_and_tell(office.sessions, away) == 0
    _move(office.session, Notice, "available_at", timedelta(hours=1))
    assert look_and_tell(office.sessions, office.config) == 1
    assert len(post_office.taken()) == 1


def test_without_a_mail_server_the_log_tells(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    _refuse(office)
    assert look_and_tell(office.sessions, replace(office.config, smtp_url="")) == 0
    with office.sessions() as session:
        assert session.scalars(select(Notice.kind)).all() == ["stopped"]


def test_an_outage_is_told_to_the_owner_after_a_day_and_to_operators_after_three(
    office: Office, post_office: PostOffice
) -> None:
    office.session.execute(
        update(Lane).values(outage_since=func.clock_timestamp() - timedelta(hours=23))
    )
    office.session.commit()
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []
    _move(office.session, Lane, "outage_since", timedelta(hours=2))
    look_and_tell(office.sessions, office.config)
    assert [to for to, _ in post_office.taken()] == [OWNER]
    _move(office.session, Lane, "outage_since", timedelta(days=2))
    look_and_tell(office.sessions, office.config)
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == [(OPERATOR, "QuickBooks has been down for three days")]


def test_an_outage_that_only_a_look_up_meets_is_told_too(
    office: Office, post_office: PostOffice
) -> None:
    office.simulator.fault(match={"path": "/v3/"}, do={"status": 503})
    office.save(new_lead(office.firm))
    for _ in range(4):
        office.drain()
        _pass_time(office.session)
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []
    _move(office.session, Lane, "questions_rest_since", timedelta(days=4))
    _move(office.session, Entry, "created_at", timedelta(days=5))
    look_and_tell(office.sessions, office.config)
    assert sorted(to for to, _ in post_office.taken()) == sorted([OWNER, OPERATOR])


def test_questions_that_nobody_asks_any_more_are_no_outage(
    office: Office, post_office: PostOffice
) -> None:
    long_ago = func.clock_timestamp() - timedelta(days=4)
    values = {"questions_rest_since": long_ago, "questions_rest_reason": "outage"}
    office.session.execute(update(Lane).values(**values))
    office.session.commit()
    office.save(new_lead(office.firm))  # waits, but never asked
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []


def _pass_time(session: Session) -> None:
    _move(session, Dispatch, "created_at", timedelta(minutes=3))
    _move(session, Dispatch, "sent_at", timedelta(minutes=3))
    session.execute(
        text(
            "UPDATE outbox_lanes SET questions_rest_until = clock_timestamp(),"
            " pause_until = NULL, pause_reason = NULL"
        )
    )
    session.execute(text("UPDATE outbox SET available_at = clock_timestamp()"))
    session.commit()


def test_a_sign_in_that_ends_is_told_thirty_seven_and_one_days_before(
    office: Office, post_office: PostOffice
) -> None:
    told = []
    for days in (31, 29.5, 29, 8, 6.5, 3, 0.9, 0.5):
        office.session.execute(
            update(Connection).values(hard_expires_at=func.clock_timestamp() + timedelta(days=days))
        )
        office.session.commit()
        _end_on_one_day(office.session)
        look_and_tell(office.sessions, office.config)
        told.append([subject for _, subject in post_office.taken()])
    assert [len(letters) for letters in told] == [0, 1, 0, 0, 1, 0, 1, 0]
    assert "within 30 days" in told[1][0]
    assert "within 7 days" in told[4][0]
    assert "tomorrow" in told[6][0]


def _end_on_one_day(session: Session) -> None:
    """The day of the end stays, today moves: a notice is of one end."""
    session.execute(
        text(
            "UPDATE notices SET subject = regexp_replace(subject, '\\d{4}-\\d\\d-\\d\\d',"
            " to_char(connection.hard_expires_at, 'YYYY-MM-DD'))"
            " FROM quickbooks_connections AS connection"
        )
    )
    session.commit()


def test_what_needs_a_person_comes_as_a_digest_and_only_when_it_grows(
    office: Office, post_office: PostOffice
) -> None:
    def look() -> list[str]:
        look_and_tell(office.sessions, office.config)
        return [subject for _, subject in post_office.taken()]

    _fail(office, "6240", 2)
    assert look() == []  # perhaps there is more to come
    _move_failures(office, timedelta(minutes=20))
    _fail(office, "6140", 1)
    assert look() == ["3 records need your attention before they can go to QuickBooks"]
    assert look() == []
    _fail(office, "6240", 1)
    assert look() == []  # not twice a day
    _move(office.session, Notice, "told_at", timedelta(days=1, hours=1))
    assert look() == ["4 records need your attention before they can go to QuickBooks"]
    _move(office.session, Notice, "told_at", timedelta(days=2))
    assert look() == []  # nothing grew
    office.session.execute(
        text("UPDATE outbox SET state = 'skipped' WHERE fault_code = '6240' AND state = 'failed'")
    )
    office.session.commit()
    assert look() == []  # less is no news
    _fail(office, "6240", 1)
    assert look() == ["2 records need your attention before they can go to QuickBooks"]
    office.session.execute(text("UPDATE outbox SET state = 'skipped' WHERE state = 'failed'"))
    office.session.commit()
    assert look() == []
    assert office.session.scalars(select(Notice.id).where(Notice.lasts)).all() == []


def test_the_digest_says_causes_in_words_and_no_customers_name(
    office: Office, post_office: PostOffice
) -> None:
    _fail(office, "6240", 2)
    _move_failures(office, timedelta(hours=1))
    look_and_tell(office.sessions, office.config)
    words = _words(post_office.letters[0])
    assert "Name already used in QuickBooks: 2" in words
    assert "Customer" not in words


def test_rule_19_in_region_br_nobody_is_written_to(office: Office, post_office: PostOffice) -> None:
    _refuse(office)
    _fail(office, "6240", 1)
    _move_failures(office, timedelta(hours=1))
    with office.sessions.begin() as session:
        session.execute(update(Organization).values(region="BR"))
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []


def test_operators_hear_that_intuit_refuses_our_app(
    office: Office, post_office: PostOffice
) -> None:
    ours = replace(office.config, client_secret="not the one Intuit knows")
    with office.sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_tokens SET access_expires_at = now()"))
    for _ in range(2):
        with pytest.raises(tokens.TokensUnavailable):
            tokens.access_token(office.sessions, ours, office.connection.id)
        look_and_tell(office.sessions, ours)
    assert post_office.taken() == [(OPERATOR, "Intuit refuses our app")]


def test_operators_hear_of_a_lost_key_and_of_many_refusals_at_once(
    office: Office, post_office: PostOffice
) -> None:
    look_and_tell(office.sessions, replace(office.config, token_keys=(_key(),)))
    assert post_office.taken() == [(OPERATOR, "Stored tokens open with none of TOKEN_KEYS")]
    for number in range(3):
        firm, lane = new_firm_with_lane(office.session, name=f"Firm {number}")
        office.session.add(
            Connection(
                organization_id=firm,
                lane_id=lane,
                environment=office.config.environment,
                realm_id=f"77{number}",
                company_name=f"Company {number}",
                country="US",
                status="expired",
                status_reason="refused",
                status_since=func.clock_timestamp(),
                connected_at=func.clock_timestamp(),
            )
        )
    office.session.commit()
    look_and_tell(office.sessions, office.config)
    assert (OPERATOR, "Many companies refuse us at once") in post_office.taken()


def test_operators_hear_of_a_directory_that_cannot_be_read_while_a_new_lead_waits_for_it(
    office: Office, post_office: PostOffice
) -> None:
    unread = [(OPERATOR, "The customers of a company cannot be read")]
    _connected_without_customers(office, "1 day 1 minute")
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []  # nothing waits for them
    office.save(new_lead(office.firm))
    _connected_without_customers(office, "23 hours")
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []
    _connected_without_customers(office, "1 day 1 minute")
    for changed in ("outbox_lanes SET state = 'held'", "organizations SET region = 'BR'"):
        with office.sessions.begin() as session:
            session.execute(text(f"UPDATE {changed}"))
        look_and_tell(office.sessions, office.config)
        assert unread[0] not in post_office.taken()
        with office.sessions.begin() as session:
            session.execute(text("UPDATE outbox_lanes SET state = 'open'"))
            session.execute(text("UPDATE organizations SET region = 'US'"))
    for _ in range(2):
        look_and_tell(office.sessions, office.config)
    words = _words(post_office.letters[-1])
    assert f"connection {office.connection.id}" in words
    assert "docs/runbook.md, “A company's customers cannot be read”" in words
    assert post_office.taken() == unread


def test_case_r09_operators_hear_that_questions_are_used_up(
    office: Office, post_office: PostOffice
) -> None:
    office.session.execute(
        update(Lane).values(
            questions_rest_reason="throttled",
            questions_rest_since=func.clock_timestamp() - timedelta(minutes=50),
        )
    )
    office.session.commit()
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == []
    _move(office.session, Lane, "questions_rest_since", timedelta(minutes=20))
    look_and_tell(office.sessions, office.config)
    look_and_tell(office.sessions, office.config)
    assert post_office.taken() == [(OPERATOR, "QuickBooks refuses our questions")]


def _connected_without_customers(office: Office, since: str) -> None:
    office.session.rollback()
    office.session.execute(
        text(
            "UPDATE quickbooks_connections SET customers_read_at = NULL,"
            " connected_at = now() - CAST(:since AS interval)"
        ),
        {"since": since},
    )
    office.session.commit()


def test_a_company_name_with_a_line_break_makes_no_header(
    office: Office, post_office: PostOffice
) -> None:
    with office.sessions.begin() as session:
        session.execute(
            update(Connection).values(company_name="Rivera\r\nBcc: everyone@example.com")
        )
    _refuse(office)
    look_and_tell(office.sessions, office.config)
    [letter] = post_office.letters
    assert letter["Bcc"] is None
    assert "Rivera Bcc everyone example. com" in str(letter["Subject"])


def _words(letter: Message) -> str:
    content = letter.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


def _refuse(office: Office) -> None:
    """The owner removes us inside QuickBooks, and the next record finds out."""
    office.simulator.revoke(RIVERA)
    office.save(new_lead(office.firm))
    office.drain()
    assert status_of(office.session, office.config, office.firm).status == "expired"


def _fail(office: Office, code: str, count: int) -> None:
    leads = [new_lead(office.firm, f"Customer {code}") for _ in range(count)]
    office.save(*leads)
    office.session.execute(
        text(
            "UPDATE outbox SET state = 'failed', settled_at = clock_timestamp(), fault_code = :code"
            " WHERE state = 'pending'"
        ),
        {"code": code},
    )
    office.session.commit()


def _move_failures(office: Office, back: timedelta) -> None:
    office.session.execute(
        text("UPDATE outbox SET settled_at = settled_at - :back WHERE state = 'failed'"),
        {"back": back},
    )
    office.session.commit()


def _move(
    session: Session,
    model: type[Notice | Lane | Entry | Dispatch],
    column: str,
    back: timedelta,
) -> None:
    session.rollback()
    session.execute(update(model).values({column: model.__table__.c[column] - back}))
    session.commit()


def _key() -> str:
    return Fernet.generate_key().decode()
