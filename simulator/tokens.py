"""Intuit's token, revoke and userinfo endpoints, independent of HTTP."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from simulator.answers import Answer, new_tid
from simulator.documents import Document, Malformed, dump_json, parse_json
from simulator.exchange import Exchange, Request, Steps
from simulator.identity import id_token, user_of
from simulator.injection import Call
from simulator.journal import Entry
from simulator.oauth import Client, Grant, OAuthError
from simulator.state import Simulator

HARD_EXPIRY_HEADER = "x-include-refresh-token-hard-expires-in"
TOKENS = "/oauth2/v1/tokens/bearer"
REVOKE = "/v2/oauth2/tokens/revoke"
USERINFO = "/v1/openid_connect/userinfo"
PATHS = {("POST", TOKENS), ("POST", REVOKE), ("GET", USERINFO)}
JSON_TOKENS = "application/json;charset=UTF-8"
TOKEN_HEADERS = {"Cache-Control": "no-cache, no-store", "Pragma": "no-cache"}


class Tokens:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def begin(self, request: Request) -> Exchange:
        form = _form(request)
        source = self.simulator.clock.source()
        entry = Entry(
            method=request.method,
            path=request.path,
            query=request.query_string,
            body=_without_secrets(form),
            realm="",
            tid=new_tid(source, self.simulator.world.chance),
            requestid="",
            arrived_at=source,
        )
        self.simulator.journal.entries.append(entry)
        exchange = Exchange(self.simulator, request, entry)
        if self.simulator.injection.rules:
            operation = form.get("grant_type", "revoke")
            exchange.take_rule(Call(request.method, request.path, operation=operation))
        return exchange

    def answer(self, exchange: Exchange) -> Steps:
        yield from ()  # these never wait
        request = exchange.request
        form = _form(request)
        match request.path:
            case "/oauth2/v1/tokens/bearer":
                answer = self._tokens(request, form)
            case "/v2/oauth2/tokens/revoke":
                answer = self._revoke(request, form)
            case _:
                answer = self._userinfo(request)
        self.simulator.log.commit()
        return answer

    def _tokens(self, request: Request, form: dict[str, str]) -> Answer:
        oauth = self.simulator.oauth
        try:
            client = oauth.authenticate(request.header("authorization"), form)
            grant = self._granted(client, form)
        except OAuthError as error:
            return _token_answer(error.body, error.status)
        with_hard_expiry = request.header(HARD_EXPIRY_HEADER).lower() == "true"
        tokens = oauth.token_answer(grant, with_hard_expiry)
        if "openid" in grant.scope.split():
            now = self.simulator.clock.now()
            issuer = f"{request.base}/op/v1"
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

    def _revoke(self, request: Request, form: dict[str, str]) -> Answer:
        try:
            client = self.simulator.oauth.authenticate(request.header("authorization"), form)
        except OAuthError as error:
            return _token_answer(error.body, error.status)
        token = form.get("token", "")
        if not token:
            return _token_answer({"error": "invalid_request"}, 400)
        if self.simulator.oauth.revoke(client, token):
            return Answer(200, b"", JSON_TOKENS, TOKEN_HEADERS)
        return _token_answer({"error": "invalid_token"}, 400)

    def _userinfo(self, request: Request) -> Answer:
        scheme, _, token = request.header("authorization").partition(" ")
        grant = self.simulator.oauth.grant_of(token) if scheme.lower() == "bearer" else None
        if grant is None:
            return _token_answer({"error": "invalid_token"}, 401)
        return _token_answer(_person(grant))


def _person(grant: Grant) -> Document:
    """What the scopes reveal about the user; without `openid` only the id."""
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


def _form(request: Request) -> dict[str, str]:
    """The body's fields, sent as form or JSON."""
    if "json" in request.header("content-type"):
        try:
            body = parse_json(request.body)
        except Malformed:
            return {}
        values = body if isinstance(body, dict) else {}
        return {key: value for key, value in values.items() if isinstance(value, str)}
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


SECRETS = {"client_secret", "code", "refresh_token", "token"}


def _without_secrets(form: dict[str, str]) -> bytes:
    """The journal shows only how a token begins, so that tests can distinguish tokens."""
    told = {key: f"{value[:12]}…" if key in SECRETS else value for key, value in form.items()}
    return urlencode(told, safe="…/:").encode()


def _token_answer(body: Document, status: int = 200) -> Answer:
    return Answer(status, dump_json(body), JSON_TOKENS, TOKEN_HEADERS)
