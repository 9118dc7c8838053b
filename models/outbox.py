"""The outbox: lanes, entries, counterparts, and the requests that were sent.

An entry is one change of one record, addressed to one lane, with a frozen snapshot. A dispatch is
one request to QuickBooks, stored before it is sent. See docs/architecture.md.
"""

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Select,
    SmallInteger,
    Text,
    UniqueConstraint,
    event,
    func,
    select,
    text,
)
from sqlalchemy import Connection as Database
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, composite, mapped_column, relationship

from models.base import Base, CreatedAt, Json, Key, Moment
from models.sales import Record, RecordType

if TYPE_CHECKING:
    from models.quickbooks import Connection


class State(StrEnum):
    PENDING = "pending"
    SYNCED = "synced"
    FAILED = "failed"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"


class Operation(StrEnum):
    SAVE = "save"
    VOID = "void"


class LaneState(StrEnum):
    OPEN = "open"  # takes entries and drains
    HELD = "held"  # takes entries, does not drain: sign-in expired, plan lapsed
    CLOSED = "closed"  # takes none: disconnected, region BR


class Lane(Base):
    """The queue of an organization's entries for one company. Locking
    the row fences its drainer."""

    __tablename__ = "outbox_lanes"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'held', 'closed')", name="state"),
        CheckConstraint("(pause_until IS NULL) = (pause_reason IS NULL)", name="pause_has_reason"),
        # At most one lane of an organization takes entries.
        Index(
            "uq_outbox_lanes_taking_entries",
            "organization_id",
            unique=True,
            postgresql_where="state IN ('open', 'held')",
        ),
        # Every save locks the lanes of its organization, also closed ones.
        Index("ix_outbox_lanes_of_organization", "organization_id"),
        {"postgresql_with": {"fillfactor": "50"}},  # updated in place, often several times a second
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    state: Mapped[LaneState] = mapped_column(server_default="open")
    hold_reason: Mapped[str | None]
    line: Mapped[int | None]  # the highest entry number when the lane was closed
    lease_token: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[Moment | None]
    pause_until: Mapped[Moment | None]
    pause_reason: Mapped[str | None]
    consecutive_outages: Mapped[int] = mapped_column(server_default="0")
    outage_since: Mapped[Moment | None]
    # The first entry of the last unanswered write: the fault is taken to be its own while other
    # calls are answered.
    silent_entry_id: Mapped[int | None]
    hold_suspected: Mapped[str | None]  # reported once; the next write, sent alone, must confirm it
    sign_in: Mapped[int] = mapped_column(server_default="0")  # incremented when a hold ends
    # Reads pause separately: a refused or unanswered read does not stop writes.
    questions_rest_until: Mapped[Moment | None]
    questions_rest_reason: Mapped[str | None]
    questions_rest_since: Mapped[Moment | None]  # when the current series of pauses began
    questions_unanswered: Mapped[int] = mapped_column(server_default="0")
    silent_question_entry_id: Mapped[int | None]
    claims_unsettled: Mapped[int] = mapped_column(server_default="0")
    suspect_entry_id: Mapped[int | None]
    # When the next call, and the next batch, may be sent under QuickBooks' limits (outbox/pace.py).
    next_call_at: Mapped[Moment | None]
    next_batch_at: Mapped[Moment | None]
    # Factor by which calls are slowed down since QuickBooks last throttled us.
    slowdown: Mapped[float] = mapped_column(Double, server_default="1")
    slowed_at: Mapped[Moment | None]
    last_synced_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[Moment | None]  # the last time

    @property
    def opens_by_itself(self) -> bool:
        """Whether it is held for a plan, which is paid elsewhere: it is tried every few hours."""
        return self.state == LaneState.HELD and self.hold_reason == "plan_lapsed"


_RECORD_TYPES = ", ".join(f"'{type_.value}'" for type_ in RecordType)


# In an entry's knowledge: a check that no user asked for, of a payment that is in QuickBooks. It
# puts credit on the payment's invoice, or finds out what QuickBooks took off it.
APPLIES_CREDIT, WAS_TAKEN_OFF = "applies_credit", "was_taken_off"
IS_OWN_CHECK = f"knowledge ?| ARRAY['{APPLIES_CREDIT}', '{WAS_TAKEN_OFF}']"  # in SQL, of an entry


class Entry(Base):
    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'synced', 'failed', 'skipped', 'superseded')", name="state"
        ),
        CheckConstraint("operation IN ('save', 'void')", name="operation"),
        CheckConstraint(f"aggregate_type IN ({_RECORD_TYPES})", name="aggregate_type"),
        CheckConstraint("(waits_for_type IS NULL) = (waits_for_id IS NULL)", name="wait_is_whole"),
        CheckConstraint("waits_for_type IS NULL OR state = 'pending'", name="only_pending_waits"),
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled_has_time"),
        # Due lanes and due entries: `outbox.lanes` reads them.
        Index(
            "ix_outbox_due",
            "lane_id",
            "available_at",
            postgresql_where="state = 'pending' AND waits_for_type IS NULL AND NOT withheld",
        ),
        # Entries that a settled record releases.
        Index(
            "ix_outbox_waiting",
            "lane_id",
            "waits_for_type",
            "waits_for_id",
            postgresql_where="waits_for_type IS NOT NULL",
        ),
        # The history of one record, in order.
        Index("ix_outbox_of_record", "aggregate_type", "aggregate_id", "id"),
        # Pending entries and entries that need a person, by organization.
        Index(
            "ix_outbox_open",
            "organization_id",
            "state",
            "id",
            postgresql_where="state IN ('pending', 'failed')",
        ),
        # An organization's activity, newest first.
        Index("ix_outbox_of_organization", "organization_id", "id"),
        Index(
            "ix_outbox_synced_at",
            "organization_id",
            "settled_at",
            postgresql_where="state = 'synced'",
        ),
        # What needed attention at first, regardless of its state now.
        Index(
            "ix_outbox_failed_first",
            "organization_id",
            "first_settled_at",
            postgresql_where="first_outcome = 'failed'",
        ),
        # The staff lists: open entries and those decided otherwise, newest first, and those of one
        # fault.
        Index("ix_outbox_unsynced", "state", "id", postgresql_where="state <> 'synced'"),
        Index("ix_outbox_of_fault", "fault_code", "id", postgresql_where="fault_code IS NOT NULL"),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lane_id: Mapped[int] = mapped_column(ForeignKey("outbox_lanes.id"))
    record_type: Mapped[RecordType] = mapped_column("aggregate_type")
    record_id: Mapped[int] = mapped_column("aggregate_id")
    operation: Mapped[Operation]
    payload: Mapped[Json]  # money as strings; `needs` lists the records that must arrive first
    state: Mapped[State] = mapped_column(server_default="pending")
    # failures of the entry itself, not of the company
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    first_attempt_at: Mapped[Moment | None]
    available_at: Mapped[CreatedAt]
    waits_for_type: Mapped[RecordType | None]
    waits_for_id: Mapped[int | None]
    # "invoice 1042": why it was sent although nobody changed it
    taken_along_for: Mapped[str | None]
    checks: Mapped[bool] = mapped_column(Boolean, server_default="false")  # read before writing
    knowledge: Mapped[Json] = mapped_column(
        server_default="{}"
    )  # learned from an answer; decides the next request
    fault_code: Mapped[str | None]
    # values for the fault's sentence
    fault_about: Mapped[Json] = mapped_column(server_default="{}")
    fault_field: Mapped[str | None]  # the form field that fixes it
    fault_detail: Mapped[str | None]  # QuickBooks' own words, redacted
    trace_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    settled_at: Mapped[Moment | None]
    # Counted by the charts. Sending again changes `state` and `settled_at`, but not these. A
    # trigger writes them, so that every statement that settles an entry keeps them.
    first_outcome: Mapped[State | None]  # synced | failed
    first_settled_at: Mapped[Moment | None]
    # before it first settled
    was_retried: Mapped[bool] = mapped_column(Boolean, server_default="false")
    # A change made while the lane was closed. It stays until the owner decides.
    withheld: Mapped[bool] = mapped_column(Boolean, server_default="false")

    lane: Mapped[Lane] = relationship()
    record: Mapped[Record] = composite("record_type", "record_id")
    connection: Mapped["Connection | None"] = relationship(  # the connection that owns the lane
        primaryjoin="foreign(Entry.lane_id) == remote(Connection.lane_id)", viewonly=True
    )
    counterpart: Mapped["Counterpart | None"] = relationship(
        primaryjoin="and_(foreign(Entry.lane_id) == remote(Counterpart.lane_id),"
        " foreign(Entry.record_type) == remote(Counterpart.record_type),"
        " foreign(Entry.record_id) == remote(Counterpart.record_id),"
        " remote(Counterpart.remote_id).is_not(None))",
        viewonly=True,
    )

    @property
    def is_own_check(self) -> bool:
        """Whether no user asked for it. The record is in QuickBooks even if the check fails."""
        return APPLIES_CREDIT in self.knowledge or WAS_TAKEN_OFF in self.knowledge

    @property
    def question(self) -> str:
        """Names what a person is asked about it: with another state or fault, or another thing that
        the fault is about, it is another question."""
        told = [self.state, self.fault_code, self.fault_about]
        about = json.dumps(told, sort_keys=True, default=str)
        return hashlib.blake2b(about.encode(), digest_size=8).hexdigest()

    @property
    def awaited(self) -> Record | None:
        """The record that must arrive before this one."""
        if self.waits_for_type is None or self.waits_for_id is None:
            return None
        return Record(self.waits_for_type, self.waits_for_id)


# Did not arrive at once: it was repeated, looked up after a lost answer, or sent longer ago than a
# call may take (its lease).
_KEEP_FIRST_OUTCOME = """
CREATE FUNCTION keep_first_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first_outcome := NEW.state;
    NEW.first_settled_at := NEW.settled_at;
    NEW.was_retried := NEW.attempts > 0 OR EXISTS (
        SELECT FROM outbox_dispatch_items AS item
        JOIN outbox_dispatches AS dispatch ON dispatch.id = item.dispatch_id
        WHERE item.entry_id = NEW.id AND item.outcome IS DISTINCT FROM 'learned'
          AND dispatch.method <> 'GET'
          AND (dispatch.sends > 1 OR dispatch.answered_at < now()
               OR dispatch.sent_at < clock_timestamp() - interval '75 seconds'));
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_first_outcome BEFORE UPDATE OF state ON outbox FOR EACH ROW
    WHEN (OLD.first_outcome IS NULL AND OLD.state = 'pending'
          AND NEW.state IN ('synced', 'failed'))
    EXECUTE FUNCTION keep_first_outcome();
"""


@event.listens_for(Entry.__table__, "after_create")
def _keep_first_outcome(_table: object, database: Database, **_: object) -> None:
    database.execute(text(_KEEP_FIRST_OUTCOME))


class Dispatch(Base):
    """One request, stored before it is sent, and repeated byte for
    byte until its outcome is known."""

    __tablename__ = "outbox_dispatches"
    __table_args__ = (Index("ix_outbox_dispatches_trace_id", "trace_id"),)

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lane_id: Mapped[int] = mapped_column(ForeignKey("outbox_lanes.id"))
    request_id: Mapped[str] = mapped_column(unique=True)
    method: Mapped[str]
    path: Mapped[str]  # below the company's base address
    query: Mapped[str]
    body: Mapped[str | None] = mapped_column(Text)  # text, never jsonb: the order of keys is kept
    sends: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    # Sends that got no answer while other calls of the lane did. A crash of ours does not count.
    silences: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    # It was looked for and not found: sent once more, with its id, before a new request is made.
    goes_again: Mapped[bool] = mapped_column(server_default="false", default=False)
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[Moment | None]
    answered_at: Mapped[Moment | None]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    trace_id: Mapped[str | None]
    answer: Mapped[str | None] = mapped_column(
        Text
    )  # redacted; only for answers that were not a plain success

    items: Mapped[list["DispatchItem"]] = relationship(
        back_populates="dispatch", order_by="DispatchItem.position"
    )


class DispatchItem(Base):
    """One entry in one dispatch, and its outcome. Open while it has none."""

    __tablename__ = "outbox_dispatch_items"
    __table_args__ = (
        # An entry is in at most one open dispatch.
        Index(
            "uq_outbox_dispatch_items_open",
            "entry_id",
            unique=True,
            postgresql_where="outcome IS NULL",
        ),
        Index(
            "ix_outbox_dispatch_items_open_of_lane",
            "lane_id",
            "dispatch_id",
            postgresql_where="outcome IS NULL",
        ),
        Index("ix_outbox_dispatch_items_of_entry", "entry_id"),
    )

    dispatch_id: Mapped[int] = mapped_column(
        ForeignKey("outbox_dispatches.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)  # also its bId
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lane_id: Mapped[int] = mapped_column(ForeignKey("outbox_lanes.id"))
    entry_id: Mapped[int] = mapped_column(ForeignKey("outbox.id"))
    intent: Mapped[str]  # what the request does for this entry: create | update | void | look_up …
    outcome: Mapped[str | None]
    settled_at: Mapped[Moment | None]
    # what it may change; until its outcome is known, nothing else may
    claims: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    # Times it was repeated or asked about since an answer was last settled; each was a crash.
    repeats_unsettled: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    # The whole document as QuickBooks has it after this request; a sparse request says less.
    document: Mapped[str | None] = mapped_column(Text)

    dispatch: Mapped[Dispatch] = relationship(back_populates="items")
    entry: Mapped[Entry] = relationship()


# The addresses that were sent of a lead, each with its lane: one that many firms use costs nobody.
SENT_EMAILS = (
    "string_to_array((lane_id::text || ' ') || regexp_replace(lower(sent_values ->> 'email'),"
    " '[,;\\s]+', (',' || lane_id::text) || ' ', 'g'), ',')"
)


class Counterpart(Base):
    """What QuickBooks has of a record, per lane and so per company. Never deleted, never pruned.

    Written under the lane's row lock. `remote_id` is empty until the record is known to be in
    QuickBooks; the row then only holds doubts or a decision.
    """

    __tablename__ = "outbox_links"
    __table_args__ = (
        UniqueConstraint("lane_id", "aggregate_type", "aggregate_id"),
        # Not unique: two leads may share one customer, and two products one item.
        Index("ix_outbox_links_remote", "lane_id", "aggregate_type", "remote_id"),
        Index("ix_outbox_links_of_record", "aggregate_type", "aggregate_id"),
        Index(
            "ix_outbox_links_of_emails",
            text(SENT_EMAILS),
            postgresql_using="gin",
            postgresql_where="aggregate_type = 'lead' AND sent_values ->> 'email' <> ''",
        ),
    )

    id: Mapped[Key]
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    lane_id: Mapped[int] = mapped_column(ForeignKey("outbox_lanes.id"))
    record_type: Mapped[RecordType] = mapped_column("aggregate_type")
    record_id: Mapped[int] = mapped_column("aggregate_id")
    remote_id: Mapped[str | None]
    remote_version: Mapped[str | None]  # SyncToken
    stale: Mapped[bool] = mapped_column(Boolean, server_default="false")  # read before writing
    remote_number: Mapped[str | None]
    remote_total: Mapped[str | None]
    voided_at: Mapped[Moment | None]
    note: Mapped[str | None]  # how the link was made, if not by a plain create
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[Moment] = mapped_column(server_default=func.clock_timestamp())
    # what the invoice can still be paid there; of a payment what is credit
    remote_balance: Mapped[str | None]
    # What a comparison found: that it was deleted there; that it differs there from what is here.
    # How it differs follows from `seen`, so an answer from QuickBooks may end it.
    gone_at: Mapped[Moment | None]
    differs_since: Mapped[Moment | None]
    # The snapshot that QuickBooks last acknowledged, and the document made from it then. The
    # document is empty if the record was only linked.
    sent_operation: Mapped[Operation | None]
    sent_values: Mapped[Json | None]
    sent_document: Mapped[str | None] = mapped_column(Text)
    # The snapshot of a change that a person decided not to send. Later changes start from it.
    declined_operation: Mapped[Operation | None]
    declined_values: Mapped[Json | None]
    seen: Mapped[str | None] = mapped_column(Text)  # the object in QuickBooks' last answer
    # Requests with an unknown effect: {request, intent, document}.
    doubts: Mapped[list[Json]] = mapped_column(JSONB, server_default="[]")
    # a person's decision, until it is carried out
    decision: Mapped[Json] = mapped_column(server_default="{}")

    record: Mapped[Record] = composite("record_type", "record_id")

    @classmethod
    def of(cls, lane_id: int, record: Record) -> Select["Counterpart"]:
        """The counterpart of a record that is known to be in QuickBooks."""
        return select(cls).where(
            cls.lane_id == lane_id, cls.record == record, cls.remote_id.is_not(None)
        )


class BulkAct(Base):
    """A person's decision about many entries at once, carried out in batches."""

    __tablename__ = "outbox_bulk_acts"
    __table_args__ = (
        CheckConstraint("act IN ('requeue', 'skip', 'undo_skip')", name="act"),
        CheckConstraint("position <= cardinality(entries)", name="position_within"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (position = cardinality(entries))", name="finished_at_end"
        ),
        Index("ix_outbox_bulk_acts_open", "id", postgresql_where="finished_at IS NULL"),
    )

    id: Mapped[Key]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    act: Mapped[str]
    reason: Mapped[str]
    entries: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))  # entry numbers, chosen once
    position: Mapped[int] = mapped_column(server_default="0")  # how many have been processed
    done: Mapped[int] = mapped_column(server_default="0")
    refused: Mapped[Json] = mapped_column(server_default="{}")  # sentence → count
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Moment | None]
