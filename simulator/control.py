"""The control interface, for tests and demos: JSON, from this machine only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from decimal import Decimal
from ipaddress import ip_address

from aiohttp import web

from simulator.documents import Document, Json, Malformed, dump_json, parse_json, part_of, text_of
from simulator.oauth import ACCOUNTING, DEFAULT_CLIENT
from simulator.seed import RIVERA
from simulator.state import Simulator
from simulator.store import Company, Switches

# Switches that a real company keeps in its preferences: name here → group there.
PREFERENCES = {
    "CustomTxnNumbers": "SalesFormsPrefs",
    "AutoApplyCredit": "SalesFormsPrefs",
    "AutoApplyPayments": "SalesFormsPrefs",
    "AllowDiscount": "SalesFormsPrefs",
    "ETransactionPaymentEnabled": "SalesFormsPrefs",
    "BookCloseDate": "AccountingInfoPrefs",
    "UsingSalesTax": "TaxPrefs",
    "PartnerTaxEnabled": "TaxPrefs",
    "MultiCurrencyEnabled": "CurrencyPrefs",
}
_ALLOWED = {
    "requestid_while_running": {"wait", "duplicate", "600"},
    "requestid_mismatch": {"replay", "600"},
    "duplicate_name_detail": {"id", "null", "words"},
    "inactive_ref_code": {"2500", "610"},
    "gateway_format": {"json", "xml"},
    "language": {"en", "fr"},
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
            web.get("/_simulator/journal", _guarded(self.journal)),
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
        """A connected grant without a browser."""
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
        return _told(self._company(request.match_info["realm"]))

    async def change_company(self, request: web.Request) -> object:
        company = self._company(request.match_info["realm"])
        for name, value in (await _body(request)).items():
            self._switch(company, name, value)
        self.simulator.log.commit()
        return _told(company)

    def _switch(self, company: Company, name: str, value: Json) -> None:
        if name in PREFERENCES:
            self._set_preference(company, name, value)
        elif name == "country":
            self._set_country(company, str(value))
        elif name in {each.name for each in fields(Switches)}:
            allowed = _ALLOWED.get(name)
            if allowed and value not in allowed:
                raise BadRequest(f"«{name}» is one of {', '.join(sorted(allowed))}")
            self.simulator.world.set_switches(company, **{name: _as_switch(name, value)})
            if name == "subscription_lapsed":
                self._tell_subscription(company, value is True)
        else:
            raise BadRequest(f"there is no switch «{name}»")

    def _set_preference(self, company: Company, name: str, value: Json) -> None:
        preferences = company.all("Preferences")["1"]
        group = {**part_of(preferences, PREFERENCES[name]), name: value}
        if value is None:
            del group[name]
        changed = {**preferences, PREFERENCES[name]: group}
        self.simulator.world.put(company, "Preferences", changed)

    def _set_country(self, company: Company, country: str) -> None:
        company.country = country
        info = {**company.all("CompanyInfo")["1"], "Country": country}
        self.simulator.world.put(company, "CompanyInfo", info)
        self.simulator.log.add("country", company.realm, country)

    def _tell_subscription(self, company: Company, lapsed: bool) -> None:
        info = company.all("CompanyInfo")["1"]
        pairs = info.get("NameValue")
        told: list[Json] = []
        for pair in pairs if isinstance(pairs, list) else []:
            if isinstance(pair, dict) and pair.get("Name") == "SubscriptionStatus":
                pair = {**pair, "Value": "EXPIRED" if lapsed else "PAID"}
            told.append(pair)
        self.simulator.world.put(company, "CompanyInfo", {**info, "NameValue": told})

    async def books(self, request: web.Request) -> object:
        company = self._company(request.match_info["realm"])
        return {name: list(objects.values()) for name, objects in company.objects.items()}

    # Journal, faults, clock -------------------------------------------------------------------

    async def journal(self, request: web.Request) -> object:
        return self.simulator.journal.as_documents()

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


def _told(company: Company) -> dict[str, object]:
    preferences = {
        name: company.preference(group)[name]
        for name, group in PREFERENCES.items()
        if name in company.preference(group)
    }
    return {
        "realm": company.realm,
        "name": company.name,
        "country": company.country,
        **asdict(company.switches),
        **preferences,
    }


def _as_switch(name: str, value: Json) -> object:
    """The value in the type of the switch's default; a switch without default is a number."""
    default = getattr(Switches(), name)
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, str):
        fits = isinstance(value, str)
    else:
        fits = is_number or (default is None and value is None)
    if not fits:
        raise BadRequest(f"«{name}» cannot be {value!r}")
    return float(value) if isinstance(value, Decimal) else value


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
