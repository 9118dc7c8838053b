"""Which cells of `judge`'s table were visited, and how often."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from quickbooks import judge
from quickbooks.judge import Cell, Operation, Said, Status, Verdict

_WITHOUT_AN_ANSWER = (
    Status.NOT_SENT,
    Status.NO_SIGN_IN,
    Status.SIGNED_OUT,
    Status.UNANSWERED,
)


@contextmanager
def counted_cells() -> Iterator[Counter[Cell]]:
    """Counts what `judge` is asked within the block. It answers as ever."""
    cells: Counter[Cell] = Counter()
    answer = judge.judge

    def counted(status: Status, said: Said, operation: Operation, *, is_repeat: bool) -> Verdict:
        cells[status, said, operation, is_repeat] += 1
        return answer(status, said, operation, is_repeat=is_repeat)

    with patch.object(judge, "judge", counted):
        yield cells


def can_happen(cell: Cell) -> bool:
    """Whether any answer leads to a cell: the table has a verdict for those that none does, too."""
    status, said, operation, is_repeat = cell
    if status in _WITHOUT_AN_ANSWER:
        if said is not Said.NOTHING or operation is Operation.ITEM:
            return False
    elif operation is Operation.ITEM and status is not Status.GOOD:
        return False  # an item is judged only within an answer that is good as a whole
    if operation is Operation.QUERY and is_repeat:
        return False  # each question is a new one
    if operation is Operation.BATCH and status is Status.GOOD and said is Said.OBJECT:
        return False  # then its items are judged
    if said is Said.ANOTHER:  # of what is new no Id could be another
        return operation in (Operation.UPDATE, Operation.VOID, Operation.ITEM)
    return True


def told(cells: Counter[Cell]) -> str:
    """How much of the table was seen, and what was not."""
    possible = [cell for cell in judge.TABLE if can_happen(cell)]
    seen = [cell for cell in possible if cells[cell]]
    often = [cell for cell in possible if cells[cell] >= 100]
    never = [
        f"{status} {said} {operation}{' again' if is_repeat else ''}"
        for status, said, operation, is_repeat in possible
        if not cells[status, said, operation, is_repeat]
    ]
    counts = f"{len(seen)} of {len(possible)} cells that can happen, {len(often)} of them often"
    return f"{counts}; never: {', '.join(never) or 'none'}"
