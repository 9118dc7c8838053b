"""A history: chosen acts in a chosen order, checked as it goes."""

from collections import Counter
from dataclasses import dataclass, field

from config import Config
from db import Sessions
from tests.simulation import acts, check
from tests.simulation.world import World

LENGTH = 60  # acts


@dataclass
class Told:
    """What a history came to."""

    seed: int
    acts: int = 0
    violation: str | None = None
    trace: list[str] = field(default_factory=list)
    visits: Counter[str] = field(default_factory=Counter)

    @property
    def script(self) -> str:
        return "\n".join([f"seed {self.seed}: {self.violation}", *self.trace])


def play(sessions: Sessions, config: Config, seed: int, length: int = LENGTH) -> Told:
    """Plays one history. Which acts exist in it, and how often, is drawn first (a swarm)."""
    world = World(sessions, config, seed)
    weights = dict(acts.ALWAYS)
    for act, weight in acts.SOMETIMES.items():
        if world.chance.random() < 0.5:
            weights[act] = weight * world.chance.choice([1, 1, 3])
    told = Told(seed)
    try:
        for _ in range(length):
            (act,) = world.chance.choices(list(weights), list(weights.values()))
            words = act(world)
            if words is None:
                continue
            world.acts += 1
            told.trace.append(words)
            told.visits[act.__name__] += 1
            check.always(world)
        told.trace.append("calm")
        check.when_calm(world)
    except AssertionError as violated:
        told.violation = str(violated) or type(violated).__name__
    except Exception as error:
        told.violation = f"{type(error).__name__}: {error}"
    told.acts = world.acts
    return told
