"""Requests that are answered by rules rather than pages: the API and the token endpoints."""

from __future__ import annotations

from simulator.api import Api, Visit
from simulator.exchange import Exchange, Request, Steps
from simulator.state import Simulator
from simulator.tokens import PATHS, Tokens

API = "/v3/company/"
SERVER_TIMEOUT = 120.0  # seconds after which Intuit ends a request


class Service:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.api = Api(simulator)
        self.tokens = Tokens(simulator)

    def serves(self, method: str, path: str) -> bool:
        return path.startswith(API) or (method, path) in PATHS

    def begin(self, request: Request) -> Exchange:
        """Logs the request in the journal and finds the fault rule that applies."""
        if request.path.startswith(API):
            return self.api.begin(request)
        return self.tokens.begin(request)

    def steps(self, exchange: Exchange) -> Steps:
        if isinstance(exchange, Visit):
            return exchange.steps(lambda: self.api.answer(exchange))
        return exchange.steps(lambda: self.tokens.answer(exchange))

    def works_on(self, exchange: Exchange) -> float:
        """Seconds that work continues after the client has disconnected."""
        return self.api.works_on(exchange) if isinstance(exchange, Visit) else SERVER_TIMEOUT
