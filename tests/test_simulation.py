"""A share of the simulated histories; the long run draws another seed each time.

SIMULATION_SEED=71 bin/test -k simulation      plays from another seed on
"""

import os
import secrets
from collections import Counter

import pytest

from config import Config
from db import Sessions
from tests.simulation.aim import AIMED, AIMS, aims_of
from tests.simulation.coverage import CELLS
from tests.simulation.history import play, shrink
from tests.simulation.mutations import ROOT
from tests.simulation.mutations.cases import CASES
from tests.simulation.mutations.inventions import INVENTIONS

# Always the same ones here, so that a build fails for what it changed.
SEED = int(os.environ.get("SIMULATION_SEED", "1"))
MONEY_SEED = 112  # some of what was paid too much goes back, though the invoice stays paid
SHARE = 3  # histories of each part
LONG = 400  # histories of the long run; `python -m tests.simulation` plays as many as you like


@pytest.mark.timeout(600)  # a busy machine, and what fails is played again in shorter forms
@pytest.mark.parametrize("part", range(4))
def test_whatever_happens_each_record_is_there_once_and_as_it_is_shown(
    sessions: Sessions, config: Config, part: int
) -> None:
    _play(sessions, config, SEED + part * SHARE, SHARE)


@pytest.mark.timeout(600)
def test_money_that_goes_back_is_booked_once(sessions: Sessions, config: Config) -> None:
    _play(sessions, config, MONEY_SEED, 2, money=True)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_long_run_from_another_seed(sessions: Sessions, config: Config) -> None:
    _play(sessions, config, secrets.randbelow(10**6), LONG)


def _play(
    sessions: Sessions, config: Config, seed: int, histories: int, *, money: bool = False
) -> None:
    print(f"SIMULATION_SEED={seed}")  # noqa: T201  (shown when it fails)
    for number in range(histories):
        told = play(sessions, config, seed + number, money=money)
        if told.violation is not None:
            pytest.fail(shrink(sessions, config, told, tries=20).script)


def test_the_same_seed_is_the_same_history(sessions: Sessions, config: Config) -> None:
    first, second = (play(sessions, config, SEED) for _ in range(2))
    assert len(first.trace) == len(second.trace)
    assert first.visits == second.visits


def test_seeds_in_a_row_aim_at_every_cell_alike() -> None:
    aimed = Counter(aim.cell for seed in range(len(AIMED)) for aim in aims_of(seed))
    assert set(aimed) == set(CELLS)
    assert set(aimed.values()) == {AIMS, 2 * AIMS}


def test_every_mutation_fits_the_present_code() -> None:
    for mutation in (*CASES, *INVENTIONS):
        for change in mutation.changes:
            assert change.applied_to(ROOT), mutation.name
