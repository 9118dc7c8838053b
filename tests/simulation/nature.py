"""What happens to us: calls that fail, processes that die, databases and clocks in trouble."""

from collections.abc import Callable
from functools import partial

from models.sales import RecordType
from simulator.documents import Document
from tests.simulation import bookkeeper, odd, people
from tests.simulation.steps import Crash, lock_timeout
from tests.simulation.world import REMEMBERED, World, named, some

# Each for the next call, or the next few; before or after the work was done.
FAULTS: dict[str, Document] = {
    "the answer is lost, nothing done": {"reset": "before"},
    "the answer is lost, all done": {"reset": "after"},
    "cut short": {"truncate": True},
    "stale version": {"bump_sync_token": True},
    "a create collides": {"fault": {"code": "5010"}},
    "items without an answer": {"missing_bids": 1},
    "an item fails inside, done": {"item_fault": {"code": "10000", "after_commit": True}},
    "one item fails inside": {"item_fault": {"index": 0, "code": "10000"}},
    "an item is refused": {"item_fault": {"index": 0, "code": "2050"}},
    "an item is throttled": {"item_fault": {"index": 0, "code": "3001"}},
    "an item finds nobody at home": {"item_fault": {"index": 0, "code": "130"}},
    "an item is signed out": {"item_fault": {"index": 0, "code": "3100"}},
    "an item has lost its access": {"item_fault": {"index": 0, "code": "120"}},
    "an item needs a plan": {"item_fault": {"index": 0, "code": "6190"}},
    "an item finds another company": {"item_fault": {"index": 0, "code": "10200"}},
}


def trouble(world: World) -> str:
    name = world.chance.choice(sorted(FAULTS))
    times = world.chance.choice([1, 1, 1, 2, 5])
    match: Document = {"times": times}
    if world.chance.random() < 0.7:
        match["method"] = "POST"
    world.company.fault(match=match, do=dict(FAULTS[name]))
    return f"nature, {times} times: {name}"


def odd_answer(world: World) -> str:
    """One of `judge`'s table, whatever was asked."""
    one = odd.draw(world.chance)
    times = world.chance.choice([1, 1, 1, 2, 6])
    method = world.chance.choice(["POST", "POST", "GET", ""])
    world.quickbooks.odd += [(method, one)] * times
    return f"nature, {times} times to {method or 'any call'}: {one.name}"


def stubborn_record(world: World) -> str | None:
    """A record that something on the way to QuickBooks never lets through."""
    if world.quickbooks.stubborn:
        world.quickbooks.stubborn = None
        return "nature: every record gets through again"
    record = some(world, [*world.of(RecordType.INVOICE), *world.of(RecordType.PAYMENT)])
    if record is None:
        return None
    status = world.chance.choice([401, 403, 404, 413, 503, 504])
    world.quickbooks.stubborn = (world.records[record].values["mark"], status)
    return f"nature: {status} to {named(record)}, always"


def refuse_reads(world: World) -> str:
    refuses = not world.quickbooks.reads_are_refused
    world.quickbooks.reads_are_refused = refuses
    return "nature: every read is refused" if refuses else "nature: reads are answered"


def sign_out(world: World) -> str:
    world.quickbooks.signed_out = True
    return "nature: the sign-in is over"


def forget_request_ids(world: World) -> str:
    seconds = world.chance.choice([2, REMEMBERED])
    world.quickbooks.remembers = seconds
    return f"nature: request ids are remembered for {seconds} s"


def lists_lag(world: World) -> str:
    """Behind what was written; less than we wait before a look-up."""
    seconds = world.chance.choice([0, 60])
    world.company.set(list_delay=seconds, list_hides_new=bool(seconds))
    return f"nature: lists lag {seconds} s behind"


WORDS: dict[str, tuple[str | bool, ...]] = {
    "inactive_ref_code": ("2500", "610"),
    "duplicate_name_detail": ("id", "null", "words"),
    "closed_period_code": ("", "5010"),
    "replay_faults": (True, False),
    "merged_customers": ("inactive", "gone"),
    "warn_duplicate_numbers": (True, False),
}


def other_words(world: World) -> str:
    """What differs between companies, and between eras."""
    name = world.chance.choice(sorted(WORDS))
    value = world.chance.choice(WORDS[name])
    world.company.set(**{name: value})
    return f"the company: {name} is {value!r}"


def crash(world: World) -> str:
    when = world.chance.choice(["before", "after"])
    world.quickbooks.crash = when
    return f"nature: the process dies {when} the next call"


def crash_between_steps(world: World) -> str:
    after = world.chance.randrange(40)
    world.ending = Crash(), after
    return f"nature: the next drain dies after {after} statements"


def database_trouble(world: World) -> str:
    """Again and again, as long as somebody holds that lock."""
    after, times = world.chance.randrange(2, 30), world.chance.choice([1, 12])
    for _ in range(times):
        world.ending = lock_timeout(), after
        world.drain()
        world.pass_time(10)
    return f"nature: the database refuses statement {after}, {times} times"


def clock_step(world: World) -> str:
    seconds = world.chance.choice([-300, -30, 30])
    world.pass_time(seconds)
    return f"nature: the clock is put {seconds} s"


# What may happen while a request is out.
MEANWHILE: tuple[Callable[[World], str | None], ...] = (
    people.edit_lead,
    people.edit_invoice,
    people.void_invoice,
    people.pay,
    people.refund,
    people.send_again,
    people.skip,
    people.disconnect,
    people.reconnect,
    people.sign_in,
    people.leave_what_waits,
    people.send_what_waits,
    people.forget_history,
    bookkeeper.edit_there,
    bookkeeper.touch_there,
    bookkeeper.renumber_there,
    bookkeeper.void_there,
)


def while_out(world: World) -> str:
    """Two things happen while the next request is out: one before the work, one after it."""
    for act in world.chance.choices(MEANWHILE, k=2):
        world.quickbooks.meanwhile.append(partial(_meanwhile, world, act))
    return "something happens while the next request is out"


def _meanwhile(world: World, act: Callable[[World], str | None]) -> None:
    with world.steps.paused():
        if words := act(world):
            world.trace.append(f"  meanwhile: {words}")
            world.visits[f"meanwhile {act.__name__}"] += 1


def late_refusal(world: World) -> str | None:
    """Of the old sign-in; meanwhile a person has signed in again."""
    if not world.is_open:
        return None
    one = odd.late_refusal(world.chance)
    world.quickbooks.odd.insert(0, ("", one))
    world.quickbooks.meanwhile += [lambda: None, lambda: _signed_in(world)]
    return f"nature: {one.name}, and meanwhile a person signs in again"


def _signed_in(world: World) -> None:
    with world.steps.paused():
        if world.is_open:
            world.disconnect()
            world.reconnect()


def stopped_while_out(world: World) -> str:
    """The process is stopped during its next call, for longer than its lease: another drains."""
    seconds = world.chance.choice([80, 200])
    world.quickbooks.meanwhile += [lambda: None, lambda: _stopped(world, seconds)]
    return f"nature: the process is stopped for {seconds} s during the next call"


def _stopped(world: World, seconds: float) -> None:
    if world.depth > 1:
        return
    with world.steps.paused():
        world.pass_time(seconds)
        if world.is_open:
            world.drain()
        world.trace.append(f"  meanwhile: {seconds} s, and another drains")
        world.visits["lease lost"] += 1
