"""Intuit's OAuth pages over HTTP: discovery, consent, keys. The token endpoints are in `tokens`."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from simulator.documents import dump_json
from simulator.identity import key_set
from simulator.oauth import BadAuthorization
from simulator.state import Simulator
from simulator.templates import page
from simulator.tokens import REVOKE, TOKENS, USERINFO


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


def _go_to(redirect_uri: str, values: dict[str, str]) -> web.Response:
    return web.Response(status=302, headers={"Location": f"{redirect_uri}?{urlencode(values)}"})
