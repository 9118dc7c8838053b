"""Intuit's OAuth endpoints over HTTP: discovery, consent, tokens, revoke, userinfo, keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from simulator.answers import Answer, new_tid
from simulator.documents import Document, Malformed, dump_json, parse_json
from simulator.identity import id_token, key_set, user_of
from simulator.injection import Call
from simulator.journal import Entry
from simulator.oauth import BadAuthorization, Client, Grant, OAuthError
from simulator.state import Simulator
from simulator.templates import page
from simulator.wire import Exchange

HARD_EXPIRY_HEADER = "x-include-refresh-token-hard-expires-in"
TOKENS = "/oauth2/v1/tokens/bearer"
REVOKE = "/v2/oauth2/tokens/revoke"
USERINFO = "/v1/openid_connect/userinfo"
JSON_TOKENS = "application/json;charset=UTF-8"
TOKEN_HEADERS = {"Cache-Control": "no-cache, no-store", "Pragma": "no-cache"}


class Authorization:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def routes(self) -> list[web.AbstractRouteDef]:
        found: list[web.AbstractRouteDef] = []
        for name in ("openid_configuration", "openid_sandbox_configuration"):
            for slash in ("", "/"):
                found.append(web.get(f"/.well-known/{name}{slash}", self.discovery))
        return [
            *found,
            web.get("/connect/oauth2", self.ask_consent),
            web.post("/connect/oauth2", self.take_consent),
            web.post(TOKENS, self.tokens),
            web.post(REVOKE, self.revoke),
            web.get(USERINFO, self.userinfo),
            web.get("/op/v1/jwks", self.keys),
        ]

    # Discovery --------------------------------------------------------------------------------

    async def discovery(self, request: web.Request) -> web.Response:
        base = f"{request.scheme}://{request.host}"
        document = {
            "issuer": f"{base}/op/v1",
            "authorization_endpoint": f"{base}/connect/oauth2",
            "token_endpoint": f"{base}{TOKENS}",
            "userinfo_endpoint": f"{base}{USERINFO}",
            "revocation_endpoint": f"{base}{REVOKE}",
            "jwks_uri": f"{base}/op/v1/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile", "address", "phone"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "claims_supported": ["aud", "exp", "iat", "iss", "realmid", "sub"],
        }
        return web.Response(body=dump_json(document), content_type="application/json")

    async def keys(self, request: web.Request) -> web.Response:
        return web.Response(body=dump_json(key_set()), content_type="application/json")

    # Consent ----------------------------------------------------------------------------------

    async def ask_consent(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        try:
            client = self.simulator.oauth.check_authorization(query)
        except BadAuthorization as refusal:
            return page("refused.html", 400, reason=str(refusal))
        companies = sorted(self.simulator.world.companies.values(), key=lambda each: each.realm)
        return page("consent.html", client=client, companies=companies, query=query)

    async def take_consent(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        try:
            client = self.simulator.oauth.check_authorization(form)
        except BadAuthorization as refusal:
            return page("refused.html", 400, reason=str(refusal))
        state = {"state": form["state"]} if "state" in form else {}
        if form.get("action") != "connect":
            answer = {"error": "access_denied", **state}
            return _go_to(form["redirect_uri"], answer)
        realm = form.get("realm_id", "")
        if realm not in self.simulator.world.companies:
            return page("refused.html", 400, reason="Choose a company to connect.")
        code = self.simulator.oauth.issue_code(
            client.client_id, realm, form["redirect_uri"], form.get("scope", "")
        )
        self.simulator.log.commit()
        return _go_to(form["redirect_uri"], {"code": code, **state, "realmId": realm})

    # Tokens -----------------------------------------------------------------------------------

    async def tokens(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._tokens)

    def _tokens(self, request: web.Request, form: dict[str, str]) -> Answer:
        oauth = self.simulator.oauth
        try:
            client = oauth.authenticate(request.headers.get("Authorization", ""), form)
            grant = self._granted(client, form)
        except OAuthError as error:
            return _token_answer(error.body, error.status)
        with_hard_expiry = request.headers.get(HARD_EXPIRY_HEADER, "").lower() == "true"
        tokens = oauth.token_answer(grant, with_hard_expiry)
        if "openid" in grant.scope.split():
            issuer = f"{request.scheme}://{request.host}/op/v1"
            now = self.simulator.clock.now()
            tokens["id_token"] = id_token(issuer, grant.client_id, grant.realm, now)
        return _token_answer(tokens)

    def _granted(self, client: Client, form: dict[str, str]) -> Grant:
        match form.get("grant_type"):
            case "authorization_code":
                if not form.get("code") or not form.get("redirect_uri"):
                    raise OAuthError("invalid_request", "code and redirect_uri are required")
                return self.simulator.oauth.exchange(client, form["code"], form["redirect_uri"])
            case "refresh_token":
                if not form.get("refresh_token"):
                    raise OAuthError("invalid_request", "refresh_token is required")
                return self.simulator.oauth.renew(client, form["refresh_token"])
            case None | "":
                raise OAuthError("invalid_request", "grant_type is required")
            case _:
                raise OAuthError("unsupported_grant_type")

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._revoke)

    def _revoke(self, request: web.Request, form: dict[str, str]) -> Answer:
        try:
            header = request.headers.get("Authorization", "")
            client = self.simulator.oauth.authenticate(header, form)
        except OAuthError as error:
            return _token_answer(error.body, error.status)
        token = form.get("token", "")
        if not token:
            return _token_answer({"error": "invalid_request"}, 400)
        if self.simulator.oauth.revoke(client, token):
            return Answer(200, b"", JSON_TOKENS, TOKEN_HEADERS)
        return _token_answer({"error": "invalid_token"}, 400)

    async def userinfo(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._userinfo)

    def _userinfo(self, request: web.Request, form: dict[str, str]) -> Answer:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        grant = self.simulator.oauth.grant_of(token) if scheme.lower() == "bearer" else None
        if grant is None:
            return _token_answer({"error": "invalid_token"}, 401)
        return _token_answer(_person(grant))

    # The wire ---------------------------------------------------------------------------------

    async def _serve(
        self, request: web.Request, answer: Callable[[web.Request, dict[str, str]], Answer]
    ) -> web.StreamResponse:
        raw = await request.read()
        form = _form(request, raw)
        now = time.time()
        entry = Entry(
            method=request.method,
            path=request.path,
            query=request.query_string,
            body=_without_secrets(form),
            realm="",
            tid=new_tid(now),
            requestid="",
            arrived_at=now,
        )
        self.simulator.journal.entries.append(entry)
        exchange = Exchange(self.simulator, request, raw, entry)
        if self.simulator.injection.rules:
            operation = form.get("grant_type", "revoke")
            exchange.take_rule(Call(request.method, request.path, operation=operation))

        async def work() -> Answer:
            found = answer(request, form)
            self.simulator.log.commit()
            return found

        return await exchange.serve(work)


def _person(grant: Grant) -> Document:
    """The scopes decide what is told of the user; without `openid` it is still who they are."""
    scopes = grant.scope.split()
    person: Document = {"sub": user_of(grant.realm)}
    if "email" in scopes or "openid" not in scopes:
        person |= {"email": "owner@example.com", "emailVerified": True}
    if "profile" in scopes or "openid" not in scopes:
        person |= {"givenName": "Craig", "familyName": "Carlson"}
    if "phone" in scopes:
        person |= {"phoneNumber": "+1 5105550100", "phoneNumberVerified": True}
    if "address" in scopes:
        person["address"] = {
            "streetAddress": "123 Sierra Way",
            "locality": "San Pablo",
            "region": "CA",
            "postalCode": "87999",
            "country": "US",
        }
    return person


def _form(request: web.Request, raw: bytes) -> dict[str, str]:
    """The body's fields, sent as a form or as JSON."""
    if "json" in request.headers.get("Content-Type", ""):
        try:
            body = parse_json(raw)
        except Malformed:
            return {}
        values = body if isinstance(body, dict) else {}
        return {key: value for key, value in values.items() if isinstance(value, str)}
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


SECRETS = {"client_secret", "code", "refresh_token", "token"}


def _without_secrets(form: dict[str, str]) -> bytes:
    """The journal shows how a token begins, so that a test can tell two apart, and no more."""
    told = {key: f"{value[:12]}…" if key in SECRETS else value for key, value in form.items()}
    return urlencode(told, safe="…/:").encode()


def _token_answer(body: Document, status: int = 200) -> Answer:
    return Answer(status, dump_json(body), JSON_TOKENS, TOKEN_HEADERS)


def _go_to(redirect_uri: str, values: dict[str, str]) -> web.Response:
    return web.Response(status=302, headers={"Location": f"{redirect_uri}?{urlencode(values)}"})
