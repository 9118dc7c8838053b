"""Rules 1 to 4: an entry commits with its record, cannot be forgotten, is numbered under the
record's lock, and is frozen and true."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine, delete, func, insert, text, update
from sqlalchemy.orm import Session

from db import Sessions, make_sessions
from models.accounts import Organization, Region
from models.outbox import Counterpart, Entry
from models.sales import Invoice, InvoiceLine, Lead, Payment, RecordType, WriteWithoutCapture
from outbox import lanes
from outbox.capture import attach
from tests.support.firm import (
    entries_of,
    new_firm,
    new_firm_with_lane,
    new_invoice,
    new_lead,
    new_line,
    new_payment,
    new_product,
)


def test_rule_1_a_record_and_its_entry_commit_together(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        session.add(new_lead(firm))
        session.flush()
        session.rollback()
        assert session.query(Lead).count() == 0
        assert entries_of(session) == []

        session.add(new_lead(firm))
        session.commit()
        [entry] = entries_of(session)
        assert (entry.record_type, entry.state) == ("lead", "pending")


def test_rule_1_a_rolled_back_savepoint_takes_its_entry_along(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        lead = new_lead(firm, phone="1")
        session.add(lead)
        session.flush()
        savepoint = session.begin_nested()
        session.add(new_lead(firm, name="Never was"))
        lead.phone = "2"
        session.flush()
        savepoint.rollback()
        session.commit()
        [entry] = entries_of(session)
        assert entry.payload["phone"] == "1"


def test_rule_2_every_way_around_capture_raises(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        lead = new_lead(firm)
        session.add(lead)
        session.commit()
        row = {"organization_id": firm, "name": "x"}
        detours: list[Callable[[], object]] = [
            lambda: session.execute(update(Lead).values(name="x")),
            lambda: session.execute(update(Lead.__table__).values(name="x")),  # type: ignore[arg-type]
            lambda: session.execute(delete(Lead)),
            lambda: session.execute(insert(Lead), [row]),
            lambda: session.execute(text("UPDATE leads SET name = 'x'")),
            lambda: session.execute(text("WITH x AS (DELETE FROM payments RETURNING id) TABLE x")),
            lambda: session.execute(text("UPDATE public.leads SET name = 'x'")),
            lambda: session.execute(text("UPDATE/* x */leads SET name = 'x'")),
            lambda: session.execute(text("UPDATE ONLY public.\"leads\" SET name = 'x'")),
            lambda: session.execute(
                text("MERGE INTO leads USING leads AS one ON false WHEN MATCHED THEN DELETE")
            ),
            lambda: session.execute(text("TRUNCATE invoice_lines")),
            lambda: session.execute(text("DO $$ BEGIN DELETE FROM payments; END $$")),
            lambda: session.bulk_save_objects([new_lead(firm)]),
            lambda: session.execute(insert(Lead.__table__), [row]),  # type: ignore[arg-type]
        ]
        for detour in detours:
            with pytest.raises(WriteWithoutCapture):
                detour()
            session.rollback()
        session.delete(lead)
        with pytest.raises(WriteWithoutCapture, match="never"):
            session.commit()


@pytest.mark.parametrize(
    "detour",
    [
        "UPDATE public.products SET name = 'x'",
        "COPY leads (organization_id, name) FROM PROGRAM 'true'",
        "WITH gone AS (DELETE FROM public.invoices RETURNING id) SELECT * FROM gone",
        "TRUNCATE payments, invoice_lines CASCADE",
    ],
)
def test_case_e23_the_database_itself_refuses(engine: Engine, detour: str) -> None:
    """Whoever writes: this session is not the application's, and no text is looked at."""
    with engine.connect() as connection, pytest.raises(Exception, match="never reach QuickBooks"):
        connection.connection.cursor().execute(detour)


def test_case_e23_a_restore_says_that_it_knows(engine: Engine, sessions: Sessions) -> None:
    with sessions() as session:
        firm = new_firm(session)
        session.commit()
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SET LOCAL dunahub.captured = 'on'")
        cursor.execute("INSERT INTO leads (organization_id, name) VALUES (%s, 'Green')", [firm])


def test_case_e23_the_flag_ends_with_its_transaction(sessions: Sessions) -> None:
    with sessions() as session:
        firm = new_firm(session)
        session.add(new_lead(firm))
        session.commit()
        with pytest.raises(WriteWithoutCapture):
            session.execute(text("DO $$ BEGIN UPDATE leads SET name = 'x'; END $$"))


def test_rule_2_a_value_that_the_database_computes_is_a_change_too(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        lead = new_lead(firm, name="Green Lawn Co")
        invoice = new_invoice(firm, lead)
        session.add_all([lead, invoice])
        session.commit()
        lead.name = func.upper(lead.name)
        invoice.voided_at = func.now()
        session.commit()
        made = [(entry.record_type, entry.operation) for entry in entries_of(session)]
        assert made[2:] == [("lead", "save"), ("invoice", "void")]


def test_rule_2_a_session_without_capture_refuses_to_write(sessions: Sessions) -> None:
    with sessions() as session:
        firm = new_firm(session)
    with make_sessions(sessions.kw["bind"])() as plain:
        plain.add(new_lead(firm))
        with pytest.raises(WriteWithoutCapture):
            plain.commit()


def test_rule_2_a_failed_flush_leaves_no_door_open(sessions: Sessions) -> None:
    with sessions() as session:
        firm = new_firm(session)
        session.add(Lead(organization_id=firm, name="  "))  # CHECK: a name is not blank
        with pytest.raises(Exception, match="ck_leads_has_name"):
            session.flush()
        session.rollback()
        with pytest.raises(WriteWithoutCapture):
            session.execute(text("UPDATE leads SET name = 'x'"))


def test_a_change_of_nothing_synced_makes_no_entry(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        invoice = new_invoice(firm, new_lead(firm))
        session.add(invoice)
        session.commit()
        before = len(entries_of(session))
        invoice = session.get_one(Invoice, invoice.id)
        invoice.proposal_id = None
        invoice.lead.first_entry_at = datetime.now(UTC)
        invoice.lead.notes = "Pays late. Ask for Kim."
        session.commit()
        entries = entries_of(session)
        assert len(entries) == before
        assert not any("notes" in entry.payload for entry in entries)


def test_a_save_in_three_flushes_makes_one_entry(sessions: Sessions) -> None:
    """Rule 4: one transaction, one entry a record; a later flush rewrites it."""
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        lead = new_lead(firm)
        session.add(lead)
        session.commit()
        invoice = new_invoice(firm, lead, [new_line(firm, price="10")])
        session.add(invoice)
        session.flush()
        invoice.lines.append(new_line(firm, price="20", position=2))
        session.flush()
        invoice.memo = "thank you"
        session.commit()
        [entry] = entries_of(session, RecordType.INVOICE)
        assert entry.payload["total"] == "30.00"
        assert entry.payload["memo"] == "thank you"
        assert len(entry.payload["lines"]) == 2


def test_rule_4_two_people_edit_two_lines_and_the_last_entry_is_the_row(
    sessions: Sessions,
) -> None:
    with sessions() as setup:
        firm, _ = new_firm_with_lane(setup)
        lines = [new_line(firm, price="10"), new_line(firm, price="20", position=2)]
        invoice = new_invoice(firm, new_lead(firm), lines, tax_rate="10")
        setup.add(invoice)
        setup.commit()
        key = invoice.id
    with sessions() as one, sessions() as two:
        mine, theirs = one.get_one(Invoice, key), two.get_one(Invoice, key)
        assert [line.quantity for line in [*mine.lines, *theirs.lines]]  # both loaded before a save
        mine.lines[0].quantity = Decimal(3)
        one.commit()
        theirs.lines[1].quantity = Decimal(5)
        two.commit()
    with sessions() as session:
        last = entries_of(session, RecordType.INVOICE, key)[-1]
        assert [line["quantity"] for line in last.payload["lines"]] == ["3.0000", "5.0000"]
        assert last.payload["total"] == "130.00"
        assert str(session.get_one(Invoice, key).total) == "130.00"


def test_rule_4_two_people_edit_two_fields_of_a_lead_and_the_last_entry_is_the_row(
    sessions: Sessions,
) -> None:
    with sessions() as setup:
        firm, _ = new_firm_with_lane(setup)
        lead = new_lead(firm, email="old@green.example", phone="1")
        setup.add(lead)
        setup.commit()
        key = lead.id
    with sessions() as one, sessions() as two:
        mine, theirs = one.get_one(Lead, key), two.get_one(Lead, key)
        mine.email = "new@green.example"
        one.commit()
        theirs.phone = "2"
        two.commit()
    with sessions() as session:
        last = entries_of(session, RecordType.LEAD, key)[-1]
        assert (last.payload["email"], last.payload["phone"]) == ("new@green.example", "2")


def test_rule_3_numbers_follow_the_order_in_which_a_record_changed(sessions: Sessions) -> None:
    """Six writers edit lines, payments and fields of one invoice: the newest entry is the row."""
    with sessions() as setup:
        firm, _ = new_firm_with_lane(setup)
        lines = [new_line(firm, price="10", position=number) for number in range(6)]
        invoice = new_invoice(firm, new_lead(firm), lines)
        setup.add(invoice)
        setup.commit()
        key = invoice.id
    start = threading.Barrier(6)

    def edit(number: int) -> None:
        start.wait()
        for round_ in range(2, 17):
            with sessions() as session:
                mine = session.get_one(Invoice, key)
                mine.lines[number].quantity = Decimal(round_)
                if number == 0:
                    mine.memo = f"round {round_}"
                session.commit()

    writers = [threading.Thread(target=edit, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with sessions() as session:
        entries = entries_of(session, RecordType.INVOICE, key)
        assert len(entries) == 1 + 6 * 15
        previous = [Decimal(0)] * 6
        for entry in entries:
            now = [Decimal(line["quantity"]) for line in entry.payload["lines"]]
            assert all(before <= after for before, after in zip(previous, now, strict=True))
            assert Decimal(entry.payload["total"]) == sum(now) * 10
            previous = now
        assert entries[-1].payload["memo"] == "round 16"
        assert Decimal(entries[-1].payload["total"]) == 6 * 16 * 10


def test_an_added_and_a_removed_line_change_the_whole_record(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        lines = [new_line(firm, price="10"), new_line(firm, price="20", position=2)]
        invoice = new_invoice(firm, new_lead(firm), lines)
        session.add(invoice)
        session.commit()
        key, revision = invoice.id, invoice.revision
        invoice.lines.remove(invoice.lines[0])
        session.commit()
        last = entries_of(session, RecordType.INVOICE)[-1]
        assert (last.payload["total"], len(last.payload["lines"])) == ("20.00", 1)
        assert session.get_one(Invoice, key).revision > revision
        assert session.query(InvoiceLine).count() == 1


def test_sums_are_rounded_half_up_per_line_and_tax_once(sessions: Sessions) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        lines = [
            new_line(firm, quantity="128.35", price="14.50", taxable=True),
            new_line(firm, quantity="-1", price="0.005", position=2),
            new_line(firm, quantity="3", price="0.3333", position=3, taxable=True),
        ]
        invoice = new_invoice(firm, new_lead(firm), lines, tax_rate="9.85")
        session.add(invoice)
        session.commit()
        assert [str(line.amount) for line in invoice.lines] == ["1861.08", "-0.01", "1.00"]
        assert str(invoice.tax_amount) == "183.41"
        assert str(invoice.total) == "2045.48"


def test_a_payment_writes_its_invoices_paid_amount_but_no_invoice_entry(
    sessions: Sessions,
) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        invoice = new_invoice(firm, new_lead(firm))
        session.add(invoice)
        session.commit()
        revision = invoice.revision
        session.add(new_payment(firm, invoice, "40.10"))
        session.commit()
        assert (invoice.paid_amount, invoice.balance) == (Decimal("40.10"), Decimal("59.90"))
        assert invoice.revision == revision + 1
        assert len(entries_of(session, RecordType.INVOICE)) == 1
        [entry] = entries_of(session, RecordType.PAYMENT)
        assert {"type": "invoice", "id": invoice.id} in entry.payload["needs"]


def test_a_lead_an_invoice_and_its_payment_in_one_save_make_entries_in_order(
    sessions: Sessions,
) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        invoice = new_invoice(firm, new_lead(firm), [new_line(firm, product=new_product(firm))])
        session.add_all([invoice, new_payment(firm, invoice)])
        session.commit()
        entries = entries_of(session)
        assert [entry.record_type for entry in entries] == ["lead", "invoice", "payment"]
        assert session.get_one(Payment, entries[2].record_id).first_entry_at is not None


def test_what_makes_an_entry(sessions: Sessions) -> None:
    """The table of writes: an invoice of before the connection stays unsent, payments included."""
    with sessions() as session:
        firm = new_firm(session)
        lead = new_lead(firm)
        invoice = new_invoice(firm, lead)
        session.add(invoice)
        session.commit()
        assert entries_of(session) == []
        lane = lanes.create(session, firm)
        session.commit()

        session.add(new_product(firm))
        invoice.memo = "edited after connecting"
        session.add(new_payment(firm, invoice))
        session.commit()
        assert entries_of(session) == []

        lead.phone = "555-0142"
        session.commit()
        assert [entry.record_type for entry in entries_of(session)] == ["lead"]

        session.add(
            Counterpart(
                organization_id=firm, lane_id=lane.id, record_type="invoice",
                record_id=invoice.id, remote_id="7", remote_version="0",
            )
        )  # fmt: skip
        invoice.memo = "now it is known there"
        session.add(new_payment(firm, invoice, "10"))
        session.commit()
        kinds = [entry.record_type for entry in entries_of(session)]
        assert kinds == ["lead", "invoice", "payment"]


@pytest.mark.parametrize("state", ["closed", "held", "open"])
def test_a_held_lane_takes_entries_and_a_closed_one_does_not(
    sessions: Sessions, state: str
) -> None:
    with sessions() as session:
        firm, lane = new_firm_with_lane(session)
        if state == "closed":
            lanes.close(session, lane)
        if state == "held":
            lanes.hold(session, lane, "signed_out")
        session.commit()
        session.add(new_lead(firm))
        session.commit()
        assert len(entries_of(session)) == (state != "closed")


def test_rule_19_a_brazilian_firm_makes_no_entry_whatever_its_lane_says(
    sessions: Sessions,
) -> None:
    with sessions() as session:
        firm, _ = new_firm_with_lane(session)
        session.get_one(Organization, firm).region = Region.BR
        session.commit()
        session.add(new_lead(firm))
        session.commit()
        assert entries_of(session) == []


def test_a_capture_in_progress_does_not_slip_behind_the_line(sessions: Sessions) -> None:
    """A close waits for a writer that has captured, and puts its entry behind the line; a writer
    that comes during the close waits for it, and writes no entry."""
    with sessions() as writer, sessions() as closer, sessions() as late:
        firm, lane = new_firm_with_lane(writer)
        writer.add(new_lead(firm, "before"))
        writer.flush()
        done: list[str] = []

        def close() -> None:
            lanes.close(closer, lane)
            done.append("closed")
            closer.commit()

        def save_late() -> None:
            late.add(new_lead(firm, "after"))
            late.commit()

        closing = threading.Thread(target=close)
        closing.start()
        _wait_for_lock(writer)
        assert done == []
        saving = threading.Thread(target=save_late)
        saving.start()
        writer.commit()
        closing.join()
        saving.join()
    with sessions() as session:
        line = lanes.waiting_behind_line(session, lane)
        titles = [entry.payload["title"] for entry in entries_of(session)]
        # The late writer either captured before the close got its lock, or not at all.
        assert line == len(titles)
        assert titles[0] == "before"


def test_a_writer_that_comes_during_a_close_writes_no_entry(sessions: Sessions) -> None:
    with sessions() as closer, sessions() as late:
        firm, lane = new_firm_with_lane(closer)
        lanes.close(closer, lane)  # not yet committed

        def save_late() -> None:
            late.add(new_lead(firm, "during"))
            late.commit()

        saving = threading.Thread(target=save_late)
        saving.start()
        _wait_for_lock(closer)
        closer.commit()
        saving.join()
    with sessions() as session:
        assert session.query(Lead).count() == 1
        assert entries_of(session) == []


def _wait_for_lock(session: Session) -> None:
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while not session.execute(query).scalar_one():
        pass


def test_capture_neither_blocks_nor_waits_for_a_lease(sessions: Sessions) -> None:
    with sessions() as session, sessions() as drainer:
        firm, lane = new_firm_with_lane(session)
        session.add(new_lead(firm))
        session.flush()  # holds the lane FOR KEY SHARE
        drainer.execute(text("SET LOCAL lock_timeout = '1s'"))
        drainer.execute(
            text("UPDATE outbox_lanes SET lease_token = lease_token + 1 WHERE id = :id"),
            {"id": lane},
        )
        session.execute(text("SET LOCAL lock_timeout = '1s'"))
        session.add(new_lead(firm, "second"))
        session.flush()  # while the drainer holds it FOR NO KEY UPDATE
        drainer.commit()
        session.commit()
        assert len(entries_of(session)) == 2


def test_the_wake_comes_after_the_outermost_commit_only(sessions: Sessions) -> None:
    woken: list[tuple[int, int]] = []
    watched = make_sessions(sessions.kw["bind"])

    def wake(lane: int) -> None:
        with sessions() as other:
            woken.append((lane, other.query(Entry).count()))  # visible to others by now

    attach(watched, wake)
    with watched() as session:
        firm, lane = new_firm_with_lane(session)
        savepoint = session.begin_nested()
        session.add(new_lead(firm))
        savepoint.commit()
        assert woken == []
        session.rollback()
        assert woken == []
        session.add(new_lead(firm))
        with session.begin_nested():
            session.add(new_lead(firm, "second"))
        assert woken == []
        session.commit()
        assert woken == [(lane, 2)]
