"""Acts within an act: each counts, and is checked, like any other."""

from collections.abc import Callable
from functools import partial

from tests.simulation import check
from tests.simulation.world import World

Act = Callable[[World], str | None]


def do(world: World, act: Act) -> bool:
    """Whether it could be done."""
    words = act(world)
    if words is None:
        return False
    called = act.func if isinstance(act, partial) else act
    world.has_done(called.__name__.strip("_"), words)
    check.always(world)
    return True


def drain(world: World) -> str:
    world.drain()
    return "drain"


def wait(world: World, seconds: float) -> None:
    world.pass_time(seconds)
    world.has_done("wait", f"wait {seconds} s")
