"""What owners do in a run of chaos: disconnect, reconnect, and send what waited."""

import random
import threading

from sqlalchemy import select

from benchmarks.chaos_log import Phase
from benchmarks.chaos_world import Firm, World, stubbornly
from models.outbox import Lane, LaneState
from models.quickbooks import Connection, Purpose
from outbox import lanes
from quickbooks import consenting, disconnecting
from quickbooks.consenting import Connected
from tests.support.connected import consent, finish


def disconnect(world: World) -> None:
    firm = world.chance.choice(world.firms)
    if firm.log.phases.now is not Phase.ON:
        return

    def end() -> None:
        with world.owning:
            firm.log.phases.change(Phase.MAYBE)
            stubbornly(
                lambda: disconnecting.disconnect(world.sessions, world.config, firm.id, firm.owner)
            )
            firm.log.phases.change(Phase.OFF)

    threading.Thread(target=end, daemon=True).start()


def look_after_firms(world: World) -> None:
    """Owners reconnect after a while, and send what waited."""
    chance = random.Random(world.chance.random())
    while not world.ending.wait(chance.uniform(1.0, 3.0)):
        for firm in world.firms:
            if firm.log.phases.now is Phase.OFF and chance.random() < 0.3:
                with world.owning:
                    connect(world, firm)
        with world.owning:
            stubbornly(lambda: renew_expired(world))


def connect(world: World, firm: Firm) -> None:
    firm.log.phases.change(Phase.MAYBE)
    stubbornly(lambda: _go_through(world, firm, Purpose.CONNECT))
    firm.log.phases.change(Phase.ON)
    stubbornly(lambda: send_waiting(world, firm))


def _go_through(world: World, firm: Firm, purpose: Purpose) -> None:
    address = consenting.begin(world.sessions, world.config, firm.owner, purpose)
    told = consent(address, firm.realm)
    finished = finish(world.sessions, world.config, firm.owner, told)
    if not isinstance(finished, Connected):
        raise OSError(f"not connected: {finished}")


def send_waiting(world: World, firm: Firm) -> None:
    with world.sessions() as session:
        for lane in session.scalars(
            select(Lane.id).where(Lane.organization_id == firm.id, Lane.state == LaneState.OPEN)
        ).all():
            lanes.send_waiting(session, lane)
        session.commit()


def renew_expired(world: World) -> None:
    with world.sessions() as session:
        firms = session.scalars(
            select(Connection.organization_id)
            .join(Lane, Lane.id == Connection.lane_id)
            .where((Connection.status == "expired") | (Lane.state == "held"))
        ).all()
    for firm in world.firms:
        if firm.id in firms:
            world.faults["sign-in renewed by its owner"] += 1
            _go_through(world, firm, Purpose.RECONNECT)
