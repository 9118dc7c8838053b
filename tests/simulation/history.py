"""A history: chosen acts in a chosen order, checked as it goes, and shrunk when it fails."""

import random
from collections import Counter
from dataclasses import dataclass, field

from config import Config
from db import Sessions
from tests.simulation import acts, aim, check, money_back, paid
from tests.simulation.acts import Act
from tests.simulation.world import World

LENGTH = 60  # acts
TRIES = 60  # plays in which a failing history is made shorter


@dataclass(frozen=True)
class Step:
    """One act, with chances of its own: leaving out another changes nothing of it."""

    act: Act
    chance: int


@dataclass
class Told:
    """What a history came to."""

    seed: int
    money: bool = False
    acts: int = 0
    violation: str | None = None
    trace: list[str] = field(default_factory=list)
    visits: Counter[str] = field(default_factory=Counter)
    steps: list[Step] = field(default_factory=list)

    @property
    def script(self) -> str:
        return "\n".join([f"seed {self.seed}: {self.violation}", *self.trace])

    @property
    def kind(self) -> str:
        """The violation without what differs from play to play."""
        return "".join(one for one in self.violation or "" if not one.isdigit())


def play(
    sessions: Sessions, config: Config, seed: int, length: int = LENGTH, *, money: bool = False
) -> Told:
    """Plays one history. Which acts exist in it, and how often, is drawn first (a swarm).

    With `money` some of it goes back.
    """
    return play_steps(sessions, config, seed, steps_of(seed, length, money=money), money=money)


def steps_of(seed: int, length: int = LENGTH, *, money: bool = False) -> list[Step]:
    """The acts of a history, in order."""
    chance = random.Random(seed)
    weights = dict(acts.ALWAYS)
    if money:
        weights.update(money_back.ACTS)
        weights[paid.pay_lower_raise] = 5
    share = chance.choice([0.2, 0.35, 0.5])
    for act, weight in acts.SOMETIMES.items():
        if act not in weights and chance.random() < share:
            weights[act] = weight * chance.choice([1, 1, 3])
    chosen = chance.choices(list(weights), list(weights.values()), k=length)
    aims = aim.aims_of(seed)
    for place, one in zip(chance.sample(range(length), len(aims)), aims, strict=True):
        chosen[place] = one
    return [Step(act, chance.randrange(2**32)) for act in chosen]


def play_steps(
    sessions: Sessions, config: Config, seed: int, steps: list[Step], *, money: bool = False
) -> Told:
    """Plays these acts and then the calm; ends at the first violation."""
    world = World(sessions, config, seed)
    told = Told(seed, trace=world.trace, visits=world.visits, money=money)
    if money:
        money_back.begin(world)
    try:
        for step in steps:
            world.chance.seed(step.chance)
            told.steps.append(step)
            words = step.act(world)
            if words is None:
                continue
            world.has_done(step.act.__name__, words)
            check.always(world)
        world.trace.append("calm")
        world.chance.seed(seed)
        check.when_calm(world)
    except AssertionError as violated:
        told.violation = str(violated) or type(violated).__name__
    except Exception as error:
        told.violation = f"{type(error).__name__}: {error}"
    told.acts = world.acts
    return told


def shrink(sessions: Sessions, config: Config, failed: Told, tries: int = TRIES) -> Told:
    """The same violation by fewer acts: leaves out halves, quarters, and single ones."""
    best, size = failed, max(len(failed.steps) // 2, 1)
    while tries > 0:
        start = 0
        while start < len(best.steps) and tries > 0:
            fewer = best.steps[:start] + best.steps[start + size :]
            tries -= 1
            told = play_steps(sessions, config, failed.seed, fewer, money=failed.money)
            if told.kind == failed.kind:
                best = told
            else:
                start += size
        if size == 1:
            break
        size = max(size // 2, 1)
    return best
