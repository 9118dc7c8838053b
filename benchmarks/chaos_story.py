"""The stories behind a chaos run's findings: all that happened to the records that they name.

    python -m benchmarks.chaos_story FOLDER/evidence.json.gz NAME…

A run that found something writes `stories.txt`, and `evidence.json.gz`, from which this command
takes the story of any other customer, invoice or payment. A story has, by time, what writers and
owners did, each request that QuickBooks' simulator received with what it answered (also if the
answer was lost), and our entries and requests; at its end, our rows and QuickBooks' objects.
"""

import gzip
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.chaos_world import Firm, World
from simulator.testing import JournalEntry

Row = dict[str, Any]
MAX_STORIES = 40
TABLES = (
    "leads", "invoices", "payments", "goodwill_refunds", "refunds", "outbox", "outbox_links",
    "outbox_dispatches", "outbox_dispatch_items", "outbox_lanes",
)  # fmt: skip
OF_RECORDS = {"lead": "leads", "invoice": "invoices", "payment": "payments"}
NAME_OF = {"leads": "name", "invoices": "number", "payments": "mark", "goodwill_refunds": "mark"}
REMOTE_NAMES = {
    "Customer": "DisplayName",
    "Invoice": "DocNumber",
    "Payment": "PaymentRefNum",
    "RefundReceipt": "PaymentRefNum",
}
NAME = re.compile(r"DH-[A-Z0-9]+|Customer [0-9a-f]{10}|\b[0-9a-f]{10}\b")
STUCK = re.compile(r"stuck: \w+(?: withheld)? (lead|invoice|payment) (\d+) ")


def write_stories(
    world: World, journal: Sequence[JournalEntry], findings: Sequence[str], folder: Path
) -> None:
    """The findings' stories, and the evidence for others."""
    evidence = gather(world, journal)
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "evidence.json.gz", "wt") as packed:
        json.dump(evidence, packed, default=str)
    with (folder / "stories.txt").open("w") as stories:
        for finding in findings[:MAX_STORIES]:
            print(f"\n{'=' * 100}\n{finding[:400]}\n", file=stories)
            if names := named(evidence, finding):
                stories.writelines(f"{line}\n" for line in story(evidence, names))


def gather(world: World, journal: Sequence[JournalEntry]) -> Row:
    """What stories are made of, as it is read from a file."""
    rows: dict[str, list[Row]] = {}
    with world.sessions() as session:
        for table in TABLES:
            query = f"SELECT to_jsonb(one) FROM {table} AS one"
            rows[table] = list(session.scalars(text(query)))
    firms = [
        {
            "id": firm.id,
            "realm": firm.realm,
            "books": {
                entity: rows
                for entity, rows in world.simulator.books(firm.realm).items()
                if entity in REMOTE_NAMES
            },
            "acts": [(at, words) for at, words in _acts(world, firm)],
        }
        for firm in world.firms
    ]
    told = {"rows": rows, "firms": firms, "journal": list(journal)}
    found: Row = json.loads(json.dumps(told, default=str))
    return found


def _acts(world: World, firm: Firm) -> Iterator[tuple[float, str]]:
    """What the writers' log has of the firm, and what its owners did."""
    to_epoch = time.time() - time.monotonic()
    for since, phase in firm.log.phases.changes:
        yield since + to_epoch, f"the firm is {phase.value} in QuickBooks, for the log"
    for kind, records in (("lead", firm.log.leads), ("invoice", firm.log.invoices)):
        for one in records:
            name = getattr(one, "number", None) or getattr(one, "name", "")
            gone = " (gone with a server)" * one.gone
            for saved in one.saves:
                yield saved.end + to_epoch, f"writer: {kind} {name} version {saved.version}{gone}"
    for invoice in firm.log.invoices:
        if invoice.voided:
            yield invoice.voided.end + to_epoch, f"writer: invoice {invoice.number} voided"
        for payment in invoice.payments:
            called = f"payment {payment.mark} of {payment.amount} on {invoice.number}"
            yield payment.saved.end + to_epoch, f"writer: {called}"
            if payment.taken_back:
                yield payment.taken_back.end + to_epoch, f"writer: {called} taken back"
            for refund in payment.refunds:
                words = f"writer: {called} refund {refund.mark} of {refund.amount}"
                yield refund.saved.end + to_epoch, words
    yield from ((at, words) for id_, at, words in world.acts if id_ in (None, firm.id))


# --- One story ----------------------------------------------------------------------------------


@dataclass
class Cast:
    """Who a story is about: names, our records, and objects in QuickBooks."""

    firm: Row
    names: set[str] = field(default_factory=set)
    records: set[tuple[str, int]] = field(default_factory=set)
    remotes: set[tuple[str, str]] = field(default_factory=set)


def named(evidence: Row, finding: str) -> set[str]:
    """The names in a finding."""
    if not (found := STUCK.match(finding)):
        return set(NAME.findall(finding))
    table = OF_RECORDS[found[1]]
    return {row[NAME_OF[table]] for row in evidence["rows"][table] if row["id"] == int(found[2])}


def story(evidence: Row, names: set[str]) -> list[str]:
    """What happened to these records, to the payments of an invoice and to its customer."""
    cast = _cast(evidence, names)
    if cast is None:
        return ["nothing is known of it: " + ", ".join(names)]
    events = sorted(
        [
            *((at, words) for at, words in cast.firm["acts"] if _concerns(cast, words)),
            *_requests(evidence, cast),
            *_ours(evidence, cast),
        ]
    )
    return [
        f"cast: {sorted(cast.names)} {sorted(cast.records)} {sorted(cast.remotes)}",
        *(f"{_clock(at)} {words}" for at, words in events),
        *_in_the_end(evidence, cast),
    ]


def _cast(evidence: Row, names: set[str]) -> Cast | None:
    rows = evidence["rows"]
    invoices = {row["id"]: row for row in rows["invoices"] if row["number"] in names}
    paid = {row["invoice_id"] for row in rows["payments"] if row["mark"] in names}
    invoices |= {row["id"]: row for row in rows["invoices"] if row["id"] in paid}
    leads = {row["id"]: row for row in rows["leads"] if row["name"] in names}
    customers = {row["lead_id"] for row in invoices.values()}
    leads |= {row["id"]: row for row in rows["leads"] if row["id"] in customers}
    payments = {row["id"]: row for row in rows["payments"] if row["invoice_id"] in invoices}
    found = [*leads.values(), *invoices.values(), *payments.values()]
    firms = {row["organization_id"] for row in found}
    for firm in evidence["firms"]:
        known = [*names & _names_in(firm)]
        if firm["id"] not in firms and not known:
            continue
        cast = Cast(firm, set(names))
        for kind, those in (("lead", leads), ("invoice", invoices), ("payment", payments)):
            cast.records |= {(kind, id_) for id_ in those}
            cast.names |= {row[NAME_OF[OF_RECORDS[kind]]] for row in those.values()}
        cast.remotes = {
            (entity, str(one["Id"]))
            for entity, field_ in REMOTE_NAMES.items()
            for one in firm["books"].get(entity, [])
            if one.get(field_) in cast.names
        }
        return cast
    return None


def _names_in(firm: Row) -> set[str]:
    return {
        str(one.get(field_))
        for entity, field_ in REMOTE_NAMES.items()
        for one in firm["books"].get(entity, [])
    } | {name for _, words in firm["acts"] for name in NAME.findall(words)}


def _concerns(cast: Cast, words: str) -> bool:
    names = NAME.findall(words)
    return not names or any(name in cast.names for name in names)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]


# --- What QuickBooks received -------------------------------------------------------------------


def _requests(evidence: Row, cast: Cast) -> Iterator[tuple[float, str]]:
    for entry in evidence["journal"]:
        if entry["realm"] != cast.firm["realm"]:
            continue
        entity = _entity(entry["path"])
        sent = [one for one in _documents(entry["body"], entity) if _is_about(cast, *one)]
        told = [one for one in _documents(entry["answer"] or "") if _is_about(cast, *one)]
        if not (sent or told or any(name in entry["query"] for name in cast.names)):
            continue
        took = entry["answered_at"] and entry["answered_at"] - entry["arrived_at"]
        lines = [
            f"QuickBooks: {entry['method']} {entry['path'].split('/', 4)[-1]}"
            f" request {entry['requestid']} status {entry['status']}"
            + (f" after {took:.2f} s" if took else " NOT ANSWERED")
            + f" {'REPLAYED ' * entry['replayed']}{entry['fault'] or ''}",
            *([f"    ? {entry['query'][:300]}"] if entry["method"] == "GET" else []),
            *(f"    > {entity} {_short(one)}" for entity, one in sent),
            *(f"    < {entity} {_short(one)}" for entity, one in told),
        ]
        if entry["answer"] and '"Fault"' in entry["answer"]:
            faults = re.findall(r'"Fault":\{.{0,300}', entry["answer"])
            lines += [f"    ! {one}" for one in faults]
        yield entry["arrived_at"], "\n".join(lines)


def _entity(path: str) -> str:
    """Of a single object that is sent: it does not name it."""
    word = path.rsplit("/", 1)[-1]
    return next((name for name in REMOTE_NAMES if name.lower() == word), "")


def _documents(body: str, entity: str = "") -> Iterator[tuple[str, Row]]:
    """Objects with the entity they are of."""
    try:
        told = json.loads(body)
    except ValueError:
        return
    if isinstance(told, dict):
        yield from [(entity, told)] if entity else _within(told)


def _within(told: Row) -> Iterator[tuple[str, Row]]:
    if items := told.get("BatchItemRequest") or told.get("BatchItemResponse"):
        for item in items:
            yield from _within(item)
    elif isinstance(told.get("QueryResponse"), dict):
        yield from _within(told["QueryResponse"])
    else:
        for name in REMOTE_NAMES.keys() & told.keys():
            found = told[name]
            yield from ((name, one) for one in (found if isinstance(found, list) else [found]))


def _is_about(cast: Cast, entity: str, document: Row) -> bool:
    if (entity, str(document.get("Id"))) in cast.remotes:
        return True
    if document.get(REMOTE_NAMES.get(entity, "")) in cast.names:
        return True
    linked = {(one["TxnType"], str(one["TxnId"])) for one in _linked(document)}
    return bool(linked & {one for one in cast.remotes if one[0] != "Customer"})


def _linked(document: Row) -> Iterator[Row]:
    for line in document.get("Line") or []:
        yield from line.get("LinkedTxn") or []


SHOWN = (
    "Id", "SyncToken", "DisplayName", "DocNumber", "PaymentRefNum", "TotalAmt", "Balance",
    "UnappliedAmt", "sparse", "Active",
)  # fmt: skip


def _short(document: Row) -> str:
    """What matters about money and order."""
    told = {name: document[name] for name in SHOWN if name in document}
    for name in ("CustomerRef", "PrimaryPhone", "CustomerMemo"):
        if isinstance(document.get(name), dict):
            told[name] = next(iter(document[name].values()), "")
    if "Line" in document:
        applied = [
            f"{line.get('Amount')} on {one['TxnType']} {one['TxnId']}"
            for line in document["Line"]
            for one in line.get("LinkedTxn") or []
        ]
        told["Line"] = applied or f"{len(document['Line'])} lines"
    if links := document.get("LinkedTxn"):
        told["LinkedTxn"] = [f"{one['TxnType']} {one['TxnId']}" for one in links]
    return " ".join(f"{name}={value}" for name, value in told.items())


# --- What we did --------------------------------------------------------------------------------


def _ours(evidence: Row, cast: Cast) -> Iterator[tuple[float, str]]:
    rows = evidence["rows"]
    entries = {row["id"]: row for row in rows["outbox"] if _is_of(cast, row)}
    for row in entries.values():
        called = f"{row['aggregate_type']} {row['aggregate_id']} entry {row['id']}"
        yield _epoch(row["created_at"]), f"ours: {called} {row['operation']} saved"
        if row["settled_at"]:
            words = f"{row['state']} {row['fault_code'] or ''} {row['fault_detail'] or ''}"
            yield _epoch(row["settled_at"]), f"ours: {called} {words}"
    dispatches = {row["id"]: row for row in rows["outbox_dispatches"]}
    for item in rows["outbox_dispatch_items"]:
        entry, dispatch = entries.get(item["entry_id"]), dispatches[item["dispatch_id"]]
        if entry is None:
            continue
        called = (
            f"{entry['aggregate_type']} {entry['aggregate_id']} entry {entry['id']}"
            f" {item['intent']} request {dispatch['request_id']}"
        )
        yield (
            _epoch(dispatch["sent_at"] or dispatch["created_at"]),
            f"ours: {called} sent, {dispatch['sends']} times in all"
            f" {'not yet' * (not dispatch['sent_at'])}",
        )
        if item["settled_at"]:
            document = f" {item['document'][:600]}" if item["document"] else ""
            yield _epoch(item["settled_at"]), f"ours: {called} {item['outcome']}{document}"


def _is_of(cast: Cast, row: Row) -> bool:
    return (row["aggregate_type"], row["aggregate_id"]) in cast.records


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _in_the_end(evidence: Row, cast: Cast) -> Iterator[str]:
    rows = evidence["rows"]
    for kind, table in OF_RECORDS.items():
        for row in rows[table]:
            if (kind, row["id"]) in cast.records:
                yield f"row of {table}: {json.dumps(row)[:900]}"
    payments = {id_ for kind, id_ in cast.records if kind == "payment"}
    for table in ("refunds", "goodwill_refunds"):
        for row in rows[table]:
            if row.get("payment_id") in payments:
                yield f"row of {table}: {json.dumps(row)[:900]}"
    for row in rows["outbox_links"]:
        if _is_of(cast, row):
            yield f"counterpart: {json.dumps(row)[:3000]}"
    for row in rows["outbox"]:
        if _is_of(cast, row):
            yield f"entry: {json.dumps(row)[:1200]}"
    for entity, field_ in REMOTE_NAMES.items():
        for one in cast.firm["books"].get(entity, []):
            if (entity, str(one["Id"])) in cast.remotes or one.get(field_) in cast.names:
                yield f"in QuickBooks: {entity} {_short(one)}"


def main() -> int:
    with gzip.open(sys.argv[1], "rt") as packed:
        evidence = json.load(packed)
    print("\n".join(story(evidence, set(sys.argv[2:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
