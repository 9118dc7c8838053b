"""A share of the simulated histories: another one each run, with its seed printed."""

import os
import secrets

import pytest

from config import Config
from db import Sessions
from tests.simulation.history import play

SEED = int(os.environ.setdefault("SIMULATION_SEED", str(secrets.randbelow(10**6))))
SHARE = 6  # histories of each part in CI; `python -m tests.simulation` plays as many as you like


@pytest.fixture(autouse=True)
def _say_which() -> None:
    print(f"SIMULATION_SEED={SEED}")  # noqa: T201  (shown when it fails)


@pytest.mark.parametrize("part", range(4))
def test_whatever_happens_each_record_is_there_once_and_as_it_is_shown(
    sessions: Sessions, config: Config, part: int
) -> None:
    for number in range(SHARE):
        told = play(sessions, config, SEED + part * SHARE + number)
        assert told.violation is None, told.script


def test_the_same_seed_is_the_same_history(sessions: Sessions, config: Config) -> None:
    first, second = (play(sessions, config, SEED) for _ in range(2))
    assert len(first.trace) == len(second.trace)
    assert first.visits == second.visits
