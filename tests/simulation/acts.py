"""What may happen, and how often."""

from collections.abc import Callable

from tests.simulation import bookkeeper, nature, paid, people
from tests.simulation.world import World

Act = Callable[[World], str | None]


def drain(world: World) -> str:
    world.drain()
    return "drain"


def wait(world: World) -> str:
    seconds = world.chance.choice([1, 60, 130, 700])
    world.pass_time(seconds)
    return f"wait {seconds} s"


def read_customers(world: World) -> str:
    world.read_customers()
    return "the directory is read"


ALWAYS: dict[Act, int] = {
    drain: 30,
    wait: 12,
    people.new_lead: 6,
    people.new_invoice: 8,
    people.pay: 6,
    people.edit_lead: 5,  # else soon nothing is left to send
    people.edit_invoice: 7,
}
SOMETIMES: dict[Act, int] = {
    people.void_invoice: 3,
    paid.pay_lower_raise: 2,
    people.delete_lead: 2,
    people.refund: 3,
    people.new_product: 4,
    people.send_again: 8,
    people.skip: 4,
    people.undo_skip: 4,
    people.answer: 6,
    people.disconnect: 3,
    people.reconnect: 8,
    people.sign_in: 3,
    people.go_abroad: 1,
    people.come_back: 4,
    people.send_what_waits: 5,
    people.leave_what_waits: 3,
    people.settings: 3,
    people.numbers: 1,
    people.forget_history: 3,
    people.try_now: 2,
    read_customers: 3,
    bookkeeper.edit_there: 4,
    bookkeeper.touch_there: 4,
    bookkeeper.renumber_there: 4,
    bookkeeper.void_there: 1,
    bookkeeper.delete_there: 1,
    bookkeeper.change_amount_there: 1,
    bookkeeper.move_there: 2,
    bookkeeper.unapply_there: 1,
    bookkeeper.deactivate_there: 4,
    bookkeeper.reactivate_there: 2,
    bookkeeper.merge_there: 1,
    bookkeeper.close_books_there: 1,
    bookkeeper.open_books_there: 3,
    nature.trouble: 10,
    nature.odd_answer: 10,
    nature.stubborn_record: 2,
    nature.refuse_reads: 2,
    nature.sign_out: 1,
    nature.forget_request_ids: 2,
    nature.lists_lag: 2,
    nature.other_words: 2,
    nature.crash: 5,
    nature.crash_between_steps: 6,
    nature.database_trouble: 1,
    nature.clock_step: 1,
    nature.while_out: 6,
    nature.late_refusal: 2,
    nature.stopped_while_out: 2,
}
