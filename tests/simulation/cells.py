"""An answer that falls into one cell of `judge`'s table, given to a request that fits it."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from outbox.company import Answer, Sent
from quickbooks.judge import Cell, Operation, Said, Status
from simulator.documents import Document, Json, dump_json, parse_json
from tests.simulation import odd

if TYPE_CHECKING:
    from tests.simulation.world import SimulatedQuickBooks

_BESIDE = (Said.RULE, Said.INSIDE, Said.BUSY)  # an object; the others are about the company
_OBJECTS = ("Customer", "Invoice", "Payment", "RefundReceipt", "Item")


@dataclass(frozen=True)
class Target:
    """The next request that fits the cell is answered so."""

    cell: Cell
    is_done: bool  # the work was done before it was answered

    @property
    def name(self) -> str:
        status, said, operation, is_repeat = self.cell
        done = "done" if self.is_done else "not done"
        return f"{status} {said} to {operation}{' again' if is_repeat else ''}, {done}"

    def takes(self, sent: Sent) -> bool:
        """Whether a request fits."""
        operation, is_repeat = self.cell[2:]
        if operation is Operation.QUERY:
            return sent.method == "GET"
        if sent.method == "GET" or (sent.sends > 1) is not is_repeat:
            return False
        if sent.path == "batch":
            return operation in (Operation.BATCH, Operation.ITEM)
        return operation.value == sent.items[0].intent

    def answer(self, there: "SimulatedQuickBooks", sent: Sent) -> Answer | None:
        """None if this request turned out to have no such answer: then the real one is given."""
        status, said, operation, _is_repeat = self.cell
        chance = there.world.chance
        if operation is Operation.ITEM:
            return self._with_one_item(there, sent)
        if said in (Said.OBJECT, Said.ANOTHER) and not _has_shown(there, sent, said, operation):
            return None
        real = there.ask(sent) if self.is_done else None
        if status in odd.PROBLEMS:
            return Answer(problem=odd.PROBLEMS[status])
        spoilt = odd.Odd(
            status,
            said,
            _code(chance, status, said),
            chance.choice(odd.FAULTS[said]) if said in odd.FAULTS else None,
            chance.choice(odd.NOTHING),
            self.is_done,
        )
        answer = spoilt.answer(real)
        if said not in (Said.OBJECT, Said.ANOTHER):
            return answer
        shown = (real or _echo(there, sent)).body
        return replace(
            answer, body=_another(chance, sent, shown) if said is Said.ANOTHER else shown
        )

    def _with_one_item(self, there: "SimulatedQuickBooks", sent: Sent) -> Answer:
        """One item of a batch is answered so, and the others as they are."""
        said, chance = self.cell[1], there.world.chance
        left = [place for place, item in enumerate(sent.items) if item.entry_id in sent.due]
        place = chance.choice(left)
        code, type_, words = chance.choice(odd.FAULTS.get(said, odd.FAULTS[Said.INSIDE]))
        fault: Document = {"code": code, "type": type_, "Message": words, "Detail": words}
        shown = _items(_echo(there, sent).body)
        answer = there.ask(sent) if self.is_done else _without(there, sent, place)
        told = parse_json(answer.body.encode()) if answer.status == 200 else None
        items = told.get("BatchItemResponse") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(items, list):
            return answer  # it was refused as a whole
        listed: list[Json] = []
        for one in items:
            if not isinstance(one, dict) or one.get("bId") != str(place):
                listed.append(one)
            elif said is Said.ANOTHER:
                whole = dump_json(shown.get(str(place), one)).decode()
                listed.append(parse_json(_another(chance, sent, whole).encode()))
            elif said in odd.FAULTS:
                listed.append({"bId": str(place), "Fault": _fault_of(fault)})
            elif said is Said.OBJECT:
                listed.append(one)
            elif chance.random() < 0.5:  # or it is missing
                listed.append({"bId": str(place)})
        return replace(answer, body=dump_json({**told, "BatchItemResponse": listed}).decode())


def may_be_done(cell: Cell) -> bool:
    """Whether QuickBooks may have done the work that it answers so."""
    status, said, operation, _is_repeat = cell
    if operation is Operation.QUERY:
        return said in (Said.OBJECT, Said.ANOTHER)
    is_judged = status in (Status.GOOD, Status.REFUSED, Status.DOOR)
    is_definite = said in odd.DEFINITE and is_judged
    return status not in (*odd.AT_THE_DOOR, Status.SIGNED_OUT) and not is_definite


def must_be_done(cell: Cell) -> bool:
    """What says that it was done, and is believed."""
    status, said, operation, _is_repeat = cell
    shows = said is Said.OBJECT and status is Status.GOOD
    return shows or (operation is Operation.QUERY and may_be_done(cell))


def is_followed_by_a_repeat(cell: Cell) -> bool:
    """Whether nobody can know what became of a request that is answered so first."""
    status, said, _operation, is_repeat = cell
    return may_be_done(cell) and not is_repeat and (status, said) != (Status.GOOD, Said.OBJECT)


def _code(chance: random.Random, status: Status, said: Said) -> int:
    if status is Status.DOOR and said not in (Said.NOTHING, Said.ACCESS_LOST):
        return 403  # after a 401 the sign-in is probed, and then its words are not read
    return chance.choice(odd.CODES[status])


def _echo(there: "SimulatedQuickBooks", sent: Sent) -> Answer:
    """What would have been answered: a company like this one does the work instead."""
    return there.ask(sent, there.company.copy(lambda: there.world.now))


def _without(there: "SimulatedQuickBooks", sent: Sent, place: int) -> Answer:
    """All of a batch is done but one item."""
    rule = there.company.fault(
        match={"method": "POST", "path": "batch", "times": 1},
        do={"item_fault": {"index": place, "code": "10000"}},
    )
    try:
        return there.ask(sent)
    finally:
        rule.times = rule.used  # another rule came first: then this one is over, too


def _has_shown(there: "SimulatedQuickBooks", sent: Sent, said: Said, operation: Operation) -> bool:
    """Whether there is an object to show: it may be refused, or lost, whatever is aimed at."""
    shown = _echo(there, sent).body
    if operation is Operation.QUERY and said is Said.OBJECT:
        return '"QueryResponse"' in shown  # none was found: that is an answer, too
    return '"Id"' in shown and not shown.startswith('{"Fault"')


def _items(body: str) -> dict[str, Document]:
    told: Any = parse_json(body.encode()) if body.startswith("{") else {}
    return {one.get("bId"): one for one in told.get("BatchItemResponse", ())}


def _fault_of(fault: Document) -> Document:
    error: Document = {key: fault[key] for key in ("code", "Message", "Detail")}
    return {"type": fault["type"], "Error": [error]}


def _another(chance: random.Random, sent: Sent, body: str) -> str:
    """With a fault beside what is shown, or another object of that kind."""
    told = parse_json(body.encode()) if body.startswith("{") else None
    if not isinstance(told, dict):
        return body
    fits = [one for _key, one in _shown(told) if isinstance(one, dict) and "Id" in one]
    if sent.method == "GET" or not fits or chance.random() < 0.5:
        code, type_, words = chance.choice(odd.FAULTS[chance.choice(_BESIDE)])
        fault: Document = {"code": code, "type": type_, "Message": words, "Detail": words}
        return dump_json({**told, "Fault": _fault_of(fault)}).decode()
    for one in fits:
        _change(one, sent)
    return dump_json(told).decode()


def _shown(told: Document) -> Iterator[tuple[str, Json]]:
    return ((key, one) for key, one in told.items() if key in _OBJECTS)


def _change(shown: Document, sent: Sent) -> None:
    """Into one that we did not write: of what is new that is seen by its mark or name."""
    shown["Id"] = str(int(str(shown["Id"])) + 1000)
    if sent.items[0].intent != "create":
        return
    for key in ("DisplayName", "Name", "PrivateNote", "PaymentRefNum"):
        if key in shown:
            shown[key] = f"Another {json.dumps(key)}"
