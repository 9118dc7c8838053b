"""Rule 10: a real process, killed at every step of a drain, leaves
nothing that does not recover."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Config
from db import Sessions
from models.outbox import Counterpart, DispatchItem, Entry, State
from models.quickbooks import Connection
from outbox import actions
from outbox.lanes import FAIL_AFTER
from outbox.watchdog import release_forgotten_waiters
from processors import recording
from simulator.testing import Books, SimulatorHandle
from tests.support import connected
from tests.support.connected import connect, firm_of, new_owner
from tests.support.crash import Zygote, running_zygote
from tests.support.crash_workers import working
from tests.support.drains import make_due
from tests.support.firm import (
    entries_of,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)
from tests.support.situation import RIVERA, SETTINGS, Situation

SAMPLE = 15  # kill points of a usual run; --full takes them all


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with running_zygote() as zygote:
        yield zygote


class Rehearsal:
    """A firm with a company of its own, and a mixed chain that is about to go out."""

    def __init__(
        self, sessions: Sessions, config: Config, simulator: SimulatorHandle, number: int
    ) -> None:
        self.sessions = sessions
        self.config = config
        self.simulator = simulator
        self.number = number
        self.realm = simulator.add_company(f"Company {number}")
        with sessions() as session:
            self._write(session)

    def _write(self, session: Session) -> None:
        owner = new_owner(session, email=f"owner{self.number}@example.com")
        firm = firm_of(owner)
        self.lane = connect(self.sessions, self.config, owner, self.realm).lane_id
        lead = new_lead(firm)
        changed = new_invoice(firm, lead, [new_line(firm, price="100")], number="1001")
        voided = new_invoice(firm, lead, [new_line(firm, price="70")], number="1002")
        returned, kept = new_payment(firm, changed, "30"), new_payment(firm, changed, "10")
        session.add_all([changed, voided, returned, kept])
        session.commit()
        self._book_what_goes_back(session)
        self.drain()
        session.refresh(returned)
        returned.refunded_amount = Decimal(30)
        recording.give_back(session, kept, Decimal(4), keeps_paid=True)
        lead.phone = "555-0142"
        session.commit()
        product = new_product(firm)
        fresh = new_invoice(
            firm, lead, [new_line(firm, product=product, price="120")], number="1003"
        )
        session.add_all([fresh, new_payment(firm, fresh, "50"), new_payment(firm, fresh, "70")])
        session.add(new_payment(firm, changed, "40"))
        session.commit()
        changed.memo = "Thank you"
        voided.voided_at = session.execute(text("SELECT now()")).scalar_one()
        assert isinstance(voided.voided_at, datetime)
        session.commit()

    def _book_what_goes_back(self, session: Session) -> None:
        """The owner has payments that are taken back voided, and refunds booked as receipts."""
        connection = session.query(Connection).filter(Connection.lane_id == self.lane).one()
        account = connection.facts["deposit_accounts"][0]["id"]
        choices = {"taken_back": "void", "refunds": "receipt", "refund_account_id": account}
        connection.settings = {**connection.settings, **choices}
        session.commit()

    def drain(self) -> None:
        connected.drain(self.sessions, self.config, self.lane)

    def recover(self) -> None:
        """Time passes, and another process drains."""
        with self.sessions() as session:
            for _ in range(3):
                make_due(session)
                self.drain()

    def judge(self) -> None:
        judge_books(self.simulator.books(self.realm))
        with self.sessions() as session:
            mine = session.query(Entry).filter(Entry.lane_id == self.lane)
            left = mine.filter(Entry.state.in_([State.PENDING, State.FAILED])).all()
            assert [(one.record_type, one.state, one.fault_code) for one in left] == []
            assert not mine.filter(Entry.attempts > 0).count()
            assert session.query(Counterpart).filter(Counterpart.lane_id == self.lane).count() == 11
            open_items = session.query(DispatchItem).filter(DispatchItem.outcome.is_(None))
            assert not open_items.filter(DispatchItem.lane_id == self.lane).count()
        assert release_forgotten_waiters(self.sessions) == 0


def judge_books(books: Books) -> None:
    """No loss, no duplicate, right totals, right links."""
    [customer] = [one for one in books["Customer"] if one["DisplayName"] == "Green Lawn Co"]
    assert "555-0142" in str(customer["PrimaryPhone"])
    assert [one["Name"] for one in books["Item"]].count("Sprinkler repair") == 1
    invoices = {str(one["DocNumber"]): one for one in books["Invoice"]}
    assert len(invoices) == len(books["Invoice"]) == 3
    sums = {
        number: (int(float(str(one["TotalAmt"]))), int(float(str(one["Balance"]))))
        for number, one in invoices.items()
    }
    assert sums == {"1001": (100, 50), "1002": (0, 0), "1003": (120, 0)}
    assert "Thank you" in str(invoices["1001"]["CustomerMemo"])
    payments = sorted(Decimal(str(one["TotalAmt"])) for one in books["Payment"])
    assert payments == [0, 10, 40, 50, 70]  # one was taken back and is void
    [receipt] = books["RefundReceipt"]
    assert receipt["TotalAmt"] == 4
    for payment in books["Payment"]:
        if not payment["TotalAmt"]:
            continue
        paid_for = "1001" if payment["TotalAmt"] in (10, 40) else "1003"
        assert f"'TxnId': '{invoices[paid_for]['Id']}'" in str(payment["Line"])


@pytest.fixture
def rehearse(
    sessions: Sessions, config: Config, simulator: SimulatorHandle
) -> Callable[[], Rehearsal]:
    numbers = count()
    return lambda: Rehearsal(sessions, config, simulator, next(numbers))


def test_killed_at_points_chosen_by_chance(
    zygote: Zygote, environ: dict[str, str], rehearse: Callable[[], Rehearsal]
) -> None:
    steps = count_steps(zygote, environ, rehearse)
    seed = datetime.now(UTC).toordinal()  # another one each day
    points = sorted(random.Random(seed).sample(range(1, len(steps) + 1), SAMPLE))
    print(f"seed {seed}: {points} of {len(steps)}")  # noqa: T201  (shown when it fails)
    for point in points:
        kill_and_judge(zygote, environ, rehearse(), point, steps)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_killed_at_every_point(
    zygote: Zygote, environ: dict[str, str], rehearse: Callable[[], Rehearsal]
) -> None:
    steps = count_steps(zygote, environ, rehearse)
    for point in range(1, len(steps) + 1):
        kill_and_judge(zygote, environ, rehearse(), point, steps)


def count_steps(
    zygote: Zygote, environ: dict[str, str], rehearse: Callable[[], Rehearsal]
) -> list[str]:
    """The boundaries that a drain passes when nobody kills it."""
    whole = rehearse()
    steps = zygote.drain(environ, whole.lane)
    whole.judge()
    assert steps.count("a call begins") == steps.count("its bytes are out")
    return steps


def kill_and_judge(
    zygote: Zygote, environ: dict[str, str], rehearsal: Rehearsal, point: int, steps: list[str]
) -> None:
    zygote.drain(environ, rehearsal.lane, die_at=point)
    rehearsal.recover()
    try:
        rehearsal.judge()
    except AssertionError as wrong:
        raise AssertionError(f"killed at {point}: {steps[point - 1]}") from wrong


def test_an_entry_that_kills_whoever_composes_it_is_given_up_and_the_rest_goes(
    session: Session, environ: dict[str, str]
) -> None:
    firm, lane = new_firm_with_lane(session)
    session.add_all([new_lead(firm, name) for name in ("One", "Poison", "Three")])
    session.commit()
    with working("poisoned", FAIL_AFTER + 4, environ, lane=lane) as workers:
        told = workers.finish()
    assert 1 <= len(told) < FAIL_AFTER + 4
    found = {one.payload["title"]: (one.state, one.fault_code) for one in entries_of(session)}
    assert found == {
        "One": ("synced", None),
        "Poison": ("failed", "poison"),
        "Three": ("synced", None),
    }


def test_an_entry_that_kills_whoever_reads_its_answer_is_given_up_and_the_rest_goes(
    session: Session, sessions: Sessions, config: Config, environ: dict[str, str],
    simulator: SimulatorHandle,
) -> None:  # fmt: skip
    owner = new_owner(session)
    connection = connect(sessions, config, owner)
    names = ["One", "Poison", "Three"]
    session.add_all([new_lead(firm_of(owner), name) for name in names])
    session.commit()
    with working("poisoned_answer", FAIL_AFTER + 4, environ, lane=connection.lane_id) as workers:
        told = workers.finish()
    assert len(told) == 4  # eight died: all three in the batch three times, then it alone
    found = {one.payload["title"]: (one.state, one.fault_code) for one in entries_of(session)}
    assert found == {
        "One": ("synced", None),
        "Poison": ("failed", "poison"),
        "Three": ("synced", None),
    }
    [poison] = [one.id for one in entries_of(session) if one.payload["title"] == "Poison"]
    assert actions.requeue(session, [poison], organization_id=firm_of(owner)).done
    session.commit()
    connected.drain(sessions, config, connection.lane_id)  # by a release that can read it
    assert {one.state for one in entries_of(session)} == {"synced"}
    books = simulator.books(connection.realm_id)["Customer"]
    assert sorted(one["DisplayName"] for one in books if one["DisplayName"] in names) == names


# --- Rule 8's one call inside a transaction -----------------------------------------------------


def wear_out(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE quickbooks_tokens SET access_expires_at = now()"))


def is_worn_out(sessions: Sessions) -> bool:
    """Whether no new pair was stored."""
    with sessions() as session:
        worn_out = text("SELECT access_expires_at <= now() FROM quickbooks_tokens")
        return bool(session.execute(worn_out).scalar_one())


def steps_between_intuits_answer_and_our_commit(steps: list[str]) -> range:
    """The boundaries at which Intuit has handed out a pair that our database does not hold."""
    stored = next(n for n, step in enumerate(steps, 1) if step.startswith("UPDATE quickbooks_tok"))
    answered = max(n for n, step in enumerate(steps[:stored], 1) if step == "its answer is here")
    return range(answered, steps.index("before COMMIT", stored) + 2)


@pytest.mark.parametrize("grace", [3600, 0])  # seconds: an hour passes on no machine, 60 do
def test_killed_between_intuits_answer_to_a_refresh_and_our_commit(
    zygote: Zygote, environ: dict[str, str], at: Situation, grace: int
) -> None:
    """Intuit may accept the old refresh token for a while; else a person signs in again."""
    at.connect()
    at.simulator.company(RIVERA, refresh_rotates_after=0, old_refresh_grace=3600)
    at.save_lead("Rehearsal")
    wear_out(at.sessions)
    steps = zygote.drain(environ, at.connection.lane_id)
    at.simulator.company(RIVERA, old_refresh_grace=grace)
    in_between = 0
    for point in steps_between_intuits_answer_and_our_commit(steps):
        name = f"Customer {point}"
        at.save_lead(name)
        wear_out(at.sessions)
        at.simulator.clear_journal()
        zygote.drain(environ, at.connection.lane_id, die_at=point)
        asked = [call["path"] for call in at.simulator.journal() if call["method"] == "POST"]
        # The steps of two threads come in any order: the same number may be before or after.
        is_between = asked == ["/oauth2/v1/tokens/bearer"] and is_worn_out(at.sessions)
        in_between += is_between
        make_due(at.session)
        at.drain()
        if is_between and not grace:
            assert "Token expired" in at.ana.open(SETTINGS).text
            assert "1 record is on hold and will be sent after you reconnect" in at.ana.text
            assert at.states()[-1] == "lead pending"
            at.connect(button="Reconnect")
            make_due(at.session)
            at.drain()
        assert at.states()[-1] == "lead synced"
        assert at.connection.status == "connected"
        assert [one["DisplayName"] for one in at.books("Customer")].count(name) == 1
    assert in_between
