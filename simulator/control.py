"""The control interface for tests and demos: JSON, only from this machine."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from decimal import Decimal
from ipaddress import ip_address

from aiohttp import web

from simulator.bookkeeper import Bookkeeper
from simulator.documents import Document, Malformed, dump_json, parse_json, text_of
from simulator.oauth import ACCOUNTING, DEFAULT_CLIENT
from simulator.refusals import Refusal
from simulator.schema import SCHEMAS
from simulator.seed import RIVERA
from simulator.state import Simulator
from simulator.store import Company
from simulator.switches import BadSwitch, set_switch, switches_of

ACTS = {
    "create",
    "edit",
    "move",
    "void",
    "delete",
    "deactivate",
    "reactivate",
    "apply",
    "unapply",
    "apply_credit",
    "deposit",
    "merge_customers",
    "close_books",
    "open_books",
}


class BadRequest(Exception):
    pass


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/_simulator/health", _guarded(self.health)),
            web.post("/_simulator/grant", _guarded(self.grant)),
            web.post("/_simulator/clients", _guarded(self.add_client)),
            web.get("/_simulator/companies", _guarded(self.companies)),
            web.post("/_simulator/companies", _guarded(self.add_company)),
            web.get("/_simulator/company/{realm}", _guarded(self.company)),
            web.patch("/_simulator/company/{realm}", _guarded(self.change_company)),
            web.get("/_simulator/books/{realm}", _guarded(self.books)),
            web.post("/_simulator/acts/{realm}", _guarded(self.act)),
            web.get("/_simulator/journal", _guarded(self.journal)),
            web.patch("/_simulator/journal", _guarded(self.change_journal)),
            web.delete("/_simulator/journal", _guarded(self.clear_journal)),
            web.get("/_simulator/faults", _guarded(self.faults)),
            web.post("/_simulator/faults", _guarded(self.add_fault)),
            web.delete("/_simulator/faults", _guarded(self.clear_faults)),
            web.get("/_simulator/clock", _guarded(self.clock)),
            web.post("/_simulator/clock", _guarded(self.advance)),
            web.post("/_simulator/revoke/{realm}", _guarded(self.revoke)),
            web.post("/_simulator/reset", _guarded(self.reset)),
        ]

    async def health(self, request: web.Request) -> object:
        return {"status": "ok", "companies": len(self.simulator.world.companies)}

    # OAuth ------------------------------------------------------------------------------------

    async def grant(self, request: web.Request) -> object:
        """Creates a grant without a browser."""
        body = await _body(request)
        realm = text_of(body, "realm_id") or RIVERA
        client_id = text_of(body, "client_id") or DEFAULT_CLIENT
        client = self.simulator.oauth.clients.get(client_id)
        if client is None:
            raise BadRequest(f"no client {client_id}")
        self._company(realm)
        grant = self.simulator.oauth.grant(client_id, realm, text_of(body, "scope") or ACCOUNTING)
        answer = self.simulator.oauth.token_answer(grant, with_hard_expiry=True)
        self.simulator.log.commit()
        return {
            **answer,
            "realm_id": realm,
            "client_id": client.client_id,
            "client_secret": client.secret,
        }

    async def add_client(self, request: web.Request) -> object:
        body = await _body(request)
        client_id = text_of(body, "client_id") or DEFAULT_CLIENT
        known = self.simulator.oauth.clients.get(client_id)
        secret = text_of(body, "client_secret") or (known.secret if known else "")
        if not secret:
            raise BadRequest("a new client needs a client_secret")
        uris = body.get("redirect_uris")
        listed = [uri for uri in uris if isinstance(uri, str)] if isinstance(uris, list) else []
        client = self.simulator.oauth.register(client_id, secret, listed)
        self.simulator.log.commit()
        return asdict(client)

    async def revoke(self, request: web.Request) -> object:
        realm = self._company(request.match_info["realm"]).realm
        ended = self.simulator.oauth.disconnect(realm)
        self.simulator.log.commit()
        return {"revoked": ended}

    # Companies --------------------------------------------------------------------------------

    def _company(self, realm: str) -> Company:
        company = self.simulator.world.companies.get(realm)
        if company is None:
            raise web.HTTPNotFound(
                body=dump_json({"error": f"no company {realm}"}), content_type="application/json"
            )
        return company

    async def companies(self, request: web.Request) -> object:
        return [
            {"realm": each.realm, "name": each.name, "country": each.country}
            for each in self.simulator.world.companies.values()
        ]

    async def add_company(self, request: web.Request) -> object:
        body = await _body(request)
        name = text_of(body, "name")
        if not name:
            raise BadRequest("a company needs a name")
        realm = text_of(body, "realm") or None
        if realm in self.simulator.world.companies:
            raise BadRequest(f"there is a company {realm}")
        company = self.simulator.add_company(name, text_of(body, "country") or "US", realm)
        return {"realm": company.realm, "name": company.name, "country": company.country}

    async def company(self, request: web.Request) -> object:
        return switches_of(self._company(request.match_info["realm"]))

    async def change_company(self, request: web.Request) -> object:
        company = self._company(request.match_info["realm"])
        for name, value in (await _body(request)).items():
            try:
                set_switch(self.simulator.world, company, name, value)
            except BadSwitch as error:
                raise BadRequest(str(error)) from error
        self.simulator.log.commit()
        return switches_of(company)

    async def books(self, request: web.Request) -> object:
        company = self._company(request.match_info["realm"])
        return {name: list(objects.values()) for name, objects in company.objects.items()}

    async def act(self, request: web.Request) -> object:
        """An act of a person inside QuickBooks, see `bookkeeper`."""
        company = self._company(request.match_info["realm"])
        body = await _body(request)
        name = text_of(body, "act")
        if name not in ACTS:
            raise BadRequest(f"«act» is one of {', '.join(sorted(ACTS))}")
        told = {key: value for key, value in body.items() if key != "act"}
        if str(told.get("entity", "Invoice")) not in SCHEMAS:
            raise BadRequest(f"«entity» is one of {', '.join(sorted(SCHEMAS))}")
        act = getattr(Bookkeeper(self.simulator.world, company), name)
        try:
            inspect.signature(act).bind(**told)
            return act(**told) or {}
        except TypeError as error:
            raise BadRequest(f"{name}: {error}") from error
        except Refusal as refusal:
            raise BadRequest(f"{refusal.faults[0].code} {refusal}") from refusal

    # Journal, faults, clock -------------------------------------------------------------------

    async def journal(self, request: web.Request) -> object:
        return self.simulator.journal.as_documents()

    async def change_journal(self, request: web.Request) -> object:
        """`{"keeps_answers": true}`: from now on the journal shows the answers, too."""
        self.simulator.journal.keeps_answers = (await _body(request)).get("keeps_answers") is True
        return {}

    async def clear_journal(self, request: web.Request) -> object:
        self.simulator.journal.entries.clear()
        return {}

    async def faults(self, request: web.Request) -> object:
        return [
            {"match": rule.match, "do": rule.do, "seen": rule.seen, "used": rule.used}
            for rule in self.simulator.injection.rules
        ]

    async def add_fault(self, request: web.Request) -> object:
        try:
            rule = self.simulator.injection.add(await _body(request))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return {"match": rule.match, "do": rule.do}

    async def clear_faults(self, request: web.Request) -> object:
        self.simulator.injection.rules.clear()
        return {}

    async def clock(self, request: web.Request) -> object:
        return {"now": self.simulator.clock.now(), "offset": self.simulator.clock.offset}

    async def advance(self, request: web.Request) -> object:
        seconds = (await _body(request)).get("advance")
        if not isinstance(seconds, int | Decimal) or isinstance(seconds, bool):
            raise BadRequest("«advance» is a number of seconds")
        self.simulator.advance(float(seconds))
        return await self.clock(request)

    async def reset(self, request: web.Request) -> object:
        self.simulator.reset()
        return {}


async def _body(request: web.Request) -> Document:
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        body = parse_json(raw)
    except Malformed as error:
        raise BadRequest(str(error)) from error
    if not isinstance(body, dict):
        raise BadRequest("a JSON object is expected")
    return body


def _guarded(
    act: Callable[[web.Request], Awaitable[object]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def guarded(request: web.Request) -> web.Response:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if not peer or not ip_address(peer[0]).is_loopback:
            return _answer({"error": "the control interface serves this machine only"}, 403)
        try:
            return _answer(await act(request))
        except BadRequest as error:
            return _answer({"error": str(error)}, 400)

    return guarded


def _answer(content: object, status: int = 200) -> web.Response:
    return web.Response(body=dump_json(content), status=status, content_type="application/json")
