"""The simulator's whole state, and its recovery after a restart."""

from __future__ import annotations

from pathlib import Path

from simulator.chance import Chance
from simulator.clock import Clock
from simulator.injection import Injection
from simulator.journal import Journal
from simulator.limits import Throttle
from simulator.log import Log
from simulator.oauth import DEFAULT_CLIENT, DEFAULT_SECRET, OPEN_CLIENT, OPEN_SECRET, OAuthServer
from simulator.seed import seed_company, seed_defaults
from simulator.store import Company, World


class Simulator:
    """A QuickBooks with its companies. Two instances share nothing.

    `clock` and `seed` make it deterministic; `is_empty` omits the default companies; `is_loud`
    raises bugs of the simulator instead of answering like Intuit's server.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        clock: Clock | None = None,
        seed: int | str | None = None,
        is_empty: bool = False,
        is_loud: bool = False,
    ) -> None:
        self.clock = clock or Clock()
        self.is_empty = is_empty
        self.is_loud = is_loud
        self.log = Log(directory)
        self.world = World(self.log, self.clock, Chance(seed))
        self.oauth = OAuthServer(self.world)
        self.injection = Injection()
        self.throttle = Throttle()
        self.journal = Journal()
        if not self._restore():
            self._begin()
        self.log.start_over(self._snapshot())

    def _restore(self) -> bool:
        found = False
        for change in self.log.read():
            found = True
            match change:
                case ["clock", str(offset)]:
                    self.clock.offset = float(offset)
                    continue
            known = self.world.apply(change)
            known = self.oauth.apply(change) or known
            if not known:
                raise ValueError(f"the log has a line this simulator does not know: {change[0]}")
        return found

    def _snapshot(self) -> list[list[object]]:
        return [
            ["clock", str(self.clock.offset)],
            *self.world.snapshot(),
            *self.oauth.snapshot(),
        ]

    def _begin(self) -> None:
        if not self.is_empty:
            seed_defaults(self.world)
        self.oauth.register(DEFAULT_CLIENT, DEFAULT_SECRET, [])
        self.oauth.register(OPEN_CLIENT, OPEN_SECRET, [])

    def reset(self) -> None:
        """As at the first start: default companies, no grants, no rules, real time."""
        self.clock.offset = 0.0
        self.world.companies.clear()
        self.oauth = OAuthServer(self.world)
        self.injection = Injection()
        self.throttle.forget()
        self.journal = Journal()
        self._begin()
        self.log.start_over(self._snapshot())

    def advance(self, seconds: float) -> None:
        self.clock.offset += seconds
        self.log.add("clock", str(self.clock.offset))
        self.log.commit()

    def add_company(self, name: str, country: str, realm: str | None = None) -> Company:
        realm = realm or self._free_realm()
        company = self.world.add_company(realm, name, country)
        seed_company(self.world, company)
        self.log.commit()
        return company

    def _free_realm(self) -> str:
        while True:
            realm = f"93414{self.world.chance.below(10**11):011d}"
            if realm not in self.world.companies:
                return realm
