"""An act that aims at one cell of `judge`'s table: brings about a request that fits it, first or
again, and answers it so.

Each history aims at a few of them; seeds in a row go through all cells evenly.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from models.outbox import State
from models.sales import Record, RecordType
from quickbooks.judge import Cell, Operation, Said, Status
from tests.simulation import check, people
from tests.simulation.aside import aside
from tests.simulation.cells import (
    Target,
    is_followed_by_a_repeat,
    may_be_done,
    must_be_done,
)
from tests.simulation.coverage import CELLS
from tests.simulation.within import Act, do, drain, wait
from tests.simulation.world import REMEMBERED, World, some

AIMS = 8  # in a history
STRIDE = 211  # through the cells, so that one history aims at different ones
# What is answered so first is hit on the way to a repeat, too.
AIMED = [*CELLS, *(cell for cell in CELLS if not is_followed_by_a_repeat(cell))]
SHARE_DONE = 0.6
RESENT = 130  # seconds after which an unanswered request is asked about, or sent again
MOST_LEADS = 5
MOST = 8  # invoices, and payments, of a history: so that voids do not use all of them up


@dataclass(frozen=True)
class Aim:
    """At this cell."""

    cell: Cell
    __name__ = "aim"

    def __call__(self, world: World) -> str | None:
        if not world.is_open or world.quickbooks.stubborn:
            return None
        _status, _said, operation, is_repeat = self.cell
        _come_to_rest(world)
        targets = [_target(world, self.cell)]
        if is_repeat:
            targets.insert(0, _first(world, operation))
        if not _prepare(world, operation, is_repeat=is_repeat):
            return None
        world.trace.append("nature aims: " + "; then ".join(target.name for target in targets))
        is_hit = _shoot(world, targets)
        world.visits[f"aimed {operation}{' again' if is_repeat else ''}, {_hit(is_hit)}"] += 1
        return f"that was {_hit(is_hit)}"


def aims_of(seed: int) -> list[Aim]:
    """The aims of the history with this seed."""
    places = range(seed * AIMS, (seed + 1) * AIMS)
    return [Aim(AIMED[place * STRIDE % len(AIMED)]) for place in places]


def _hit(is_hit: bool) -> str:
    return "hit" if is_hit else "missed"


def _target(world: World, cell: Cell) -> Target:
    is_done = may_be_done(cell) and world.chance.random() < SHARE_DONE
    return Target(cell, is_done or must_be_done(cell))


def _first(world: World, operation: Operation) -> Target:
    """The answer after which the same request is sent again. What was created is found when it is
    looked for, unless lists lag and the company knows request ids again."""
    found = [one for one in CELLS if one[2] is operation and is_followed_by_a_repeat(one)]
    if operation is Operation.ITEM:
        found.append((Status.UNANSWERED, Said.NOTHING, Operation.BATCH, False))
    target = _target(world, world.chance.choice(found))
    if operation is not Operation.CREATE:
        return target
    if not target.is_done or world.quickbooks.remembers < REMEMBERED:
        return Target(target.cell, is_done=False)
    world.company.set(list_delay=200, list_hides_new=True)
    return target


def _shoot(world: World, targets: list[Target]) -> bool:
    """Whether the last of them was hit."""
    aimed = world.quickbooks.aimed
    aimed += targets
    do(world, drain)
    for seconds in (RESENT, 5 * RESENT):
        if not aimed or not _rest(world).waits:
            break
        wait(world, seconds)
        do(world, drain)
    is_hit = not aimed
    aimed.clear()
    world.company.set(list_delay=0, list_hides_new=False)
    return is_hit


# --- What is brought about ------------------------------------------------------------------------


def _prepare(world: World, operation: Operation, *, is_repeat: bool) -> bool:
    """Whether a request of this operation is what goes out next."""
    match operation:
        case Operation.CREATE:
            return do(world, _new)
        case Operation.UPDATE:
            return do(world, _edit) or (
                do(world, new_lead) and do(world, drain) and do(world, _edit)
            )
        case Operation.VOID:
            return _void(world)
        case Operation.ITEM | Operation.BATCH:
            return _several(world, is_repeat=is_repeat)
        case Operation.QUERY:
            return do(world, _look)


def _new(world: World) -> str | None:
    """One record, and all that it needs is there."""
    acts: list[Act] = [new_lead, new_invoice, _pay]
    world.chance.shuffle(acts)
    return next((words for act in acts if (words := act(world))), None)


def new_lead(world: World) -> str | None:
    """One that is like no other."""
    if len(world.of(RecordType.LEAD)) >= MOST_LEADS:
        return None
    return people.create_lead(world, f"New {world.seed} {_other(world)}", "")


def new_invoice(world: World) -> str | None:
    lead = some(world, there(world, RecordType.LEAD))
    if len(world.of(RecordType.INVOICE)) >= MOST or lead is None:
        return None
    return people.create_invoice(world, lead)


def _pay(world: World) -> str | None:
    invoice = some(world, there(world, RecordType.INVOICE))
    if len(world.of(RecordType.PAYMENT)) >= MOST or invoice is None:
        return None
    total = world.records[invoice].values["total"]
    return people.pay_amount(world, invoice, total)


def _edit(world: World) -> str | None:
    records = [*there(world, RecordType.LEAD), *there(world, RecordType.INVOICE)]
    record = some(world, records)
    return _edited(world, record) if record else None


def _edited(world: World, record: Record) -> str:
    """One property has another value than before."""
    if record.type is RecordType.LEAD:
        return people.edit_lead_of(world, record, "phone", f"555-0{_other(world)}")
    if world.chance.random() < 0.5:
        return people.edit_invoice_of(world, record, "memo", f"Memo {_other(world)}")
    return people.edit_invoice_of(world, record, "prices", _other_prices(world, record))


def _other(world: World) -> int:
    return world.chance.randrange(100, 9999)


def _other_prices(world: World, record: Record) -> list[int]:
    first, *rest = world.records[record].values["prices"]
    return [first + world.chance.randrange(1, 90), *rest]


def _void(world: World) -> bool:
    if not there(world, RecordType.INVOICE) or world.chance.random() < 0.5:
        _one_more(world)
    found = there(world, RecordType.INVOICE)
    return bool(found) and do(world, partial(people.void_invoice_of, record=found[-1]))


def _several(world: World, *, is_repeat: bool) -> bool:
    """Two writes that go together. A batch that creates is looked up, and then goes one by one."""
    if not is_repeat and there(world, RecordType.LEAD) and world.chance.random() < 0.5:
        return do(world, new_invoice) and do(world, new_invoice)
    type_ = world.chance.choice([RecordType.LEAD, RecordType.INVOICE])
    if len(there(world, type_)) < 2:
        type_ = RecordType.INVOICE
        for _ in range(2):
            if len(there(world, type_)) < 2:
                _one_more(world)
    found = there(world, type_)[-2:]
    for record in found:
        do(world, partial(_edited, record=record))
    return len(found) == 2


def _one_more(world: World) -> None:
    """An invoice, and its customer if there is none."""
    if not there(world, RecordType.LEAD) and do(world, new_lead):
        do(world, drain)
    if do(world, new_invoice):
        do(world, drain)


def _look(world: World) -> str | None:
    return people.send_again_of(world, [State.SYNCED])


_SYNCED = """
    SELECT coalesce((SELECT entry.state = 'synced' FROM outbox AS entry
                     WHERE entry.lane_id = link.lane_id AND entry.aggregate_type = %(type)s
                       AND entry.aggregate_id = %(id)s
                     ORDER BY entry.id DESC LIMIT 1), false)
    FROM outbox_links AS link
    WHERE link.lane_id = %(lane)s AND link.aggregate_type = %(type)s
      AND link.aggregate_id = %(id)s AND link.remote_id IS NOT NULL
"""


def there(world: World, type_: RecordType) -> list[Record]:
    """The records of this type that are in QuickBooks as we sent them."""
    return [one for one in world.of(type_) if _is_there(world, one)]


def _is_there(world: World, record: Record) -> bool:
    wanted = world.records[record]
    if wanted.voided or wanted.kept or record in world.withheld:
        return False
    there = check.objects(world, record)
    if len(there) != 1 or there[0].get("Active") is False:
        return False
    values = {"lane": world.lane, "type": record.type.value, "id": record.id}
    return bool(aside(world.engine, _SYNCED, values))


# --- The lane before it -------------------------------------------------------------------------

_REST = """
    SELECT lane.state = 'held' AS is_held, lane.pause_until > clock_timestamp() AS is_paused,
           lane.consecutive_outages > 0 AS is_down,
           EXISTS (SELECT FROM outbox WHERE lane_id = lane.id AND state = 'pending'
                   AND waits_for_type IS NULL AND NOT withheld) AS waits
    FROM outbox_lanes AS lane WHERE lane.id = %(lane)s
"""


def _rest(world: World) -> Any:
    return aside(world.engine, _REST, {"lane": world.lane})


def _come_to_rest(world: World) -> None:
    """What is under way ends first, so that what goes out next is what is aimed at."""
    for seconds in (1, RESENT, 8 * RESENT):
        lane = _rest(world)
        if lane.is_held:
            do(world, people.sign_in)
        elif not (lane.is_paused or lane.is_down or lane.waits):
            return
        if lane.is_down and not lane.waits:
            do(world, _edit)  # only a write ends an outage
        if lane.is_paused or seconds > 1:
            wait(world, max(seconds, RESENT))
        do(world, drain)
