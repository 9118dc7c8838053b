"""Tests in many variants: `--full` runs all of them, any other run a part, another one each day.

SAMPLE_SEED chooses the part. It is printed at the end of a run; set it to run the same part again.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from _pytest.mark import ParameterSet

from development.scenes import NARROW, WIDE

# one for the controller and all its workers; all runs of a day, so that a failure can be repeated
SEED = int(os.environ.setdefault("SAMPLE_SEED", str(datetime.now(UTC).toordinal() % 12)))

WIDTHS = (pytest.param(WIDE, id="wide"), pytest.param(NARROW, id="narrow"))


def one_in(share: int, variants: Iterable[ParameterSet], start: int = 0) -> list[ParameterSet]:
    """The variants; all but each `share`-th marked `full`."""
    return [
        one
        if number % share == 0
        else pytest.param(*one.values, id=one.id, marks=[*one.marks, pytest.mark.full])
        for number, one in enumerate(variants, start=SEED + start)
    ]
