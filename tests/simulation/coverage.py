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
    # of a batch with answers its items are judged
    return (status, said, operation) != (Status.GOOD, Said.OBJECT, Operation.BATCH)


CELLS = [cell for cell in judge.TABLE if can_happen(cell)]
OFTEN = 100
LEAST = 20  # cells that are named


def told(cells: Counter[Cell]) -> str:
    """How much of the table was seen, and what was not."""
    seen = [cell for cell in CELLS if cells[cell]]
    often = [cell for cell in CELLS if cells[cell] >= OFTEN]
    least = sorted(CELLS, key=lambda cell: cells[cell])[:LEAST]
    counts = f"{len(seen)} of {len(CELLS)} cells that can happen, {len(often)} of them often"
    return f"{counts}; least: {', '.join(f'{_named(one)} {cells[one]}' for one in least)}"


def _named(cell: Cell) -> str:
    status, said, operation, is_repeat = cell
    return f"{status} {said} {operation}{' again' if is_repeat else ''}"
