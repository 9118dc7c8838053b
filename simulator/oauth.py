"""Intuit's OAuth2 server: clients, codes, grants, and token lifetimes."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal

from simulator.chance import Chance
from simulator.documents import Document, Json
from simulator.log import Change
from simulator.store import Company, World

ACCESS_LIFE = 3600.0
REFRESH_LIFE = 8726400.0  # stated as 101 days in answers, as 100 in the documentation
HARD_LIFE = 5 * 365.25 * 86400.0
CODE_LIFE = 600.0

DEFAULT_CLIENT = "dunahub-development"
DEFAULT_SECRET = "dunahub-development-secret"
# The default client may redirect to its page on any port of this machine, the open client to any
# page; others register theirs.
OPEN_CLIENT = "quickbooks-simulator"
OPEN_SECRET = "quickbooks-simulator-secret"
OPEN_REDIRECT = re.compile(r"http://(127\.0\.0\.1|localhost)(:\d+)?/[^?#]*$")
DEFAULT_REDIRECT = re.compile(
    r"http://(127\.0\.0\.1|localhost)(:\d+)?/([^?#]*/)?settings/quickbooks/callback$"
)
ACCOUNTING = "com.intuit.quickbooks.accounting"
SCOPES = frozenset({"openid", "email", "profile", "address", "phone", "intuit_name"})


class OAuthError(Exception):
    """An error response of the token endpoint."""

    def __init__(self, error: str, description: str | None = None, status: int = 400) -> None:
        super().__init__(error)
        self.status = status
        self.body: Document = {"error": error}
        if description:
            self.body["error_description"] = description


class BadAuthorization(Exception):
    """An authorization request answered with an error page instead of a redirect."""


@dataclass(slots=True)
class Client:
    client_id: str
    secret: str
    redirect_uris: list[str] = field(default_factory=list)

    def accepts(self, redirect_uri: str) -> bool:
        if redirect_uri in self.redirect_uris:
            return True
        pattern = {DEFAULT_CLIENT: DEFAULT_REDIRECT, OPEN_CLIENT: OPEN_REDIRECT}.get(self.client_id)
        return bool(pattern and pattern.match(redirect_uri))


@dataclass(slots=True)
class Code:
    client_id: str
    realm: str
    redirect_uri: str
    scope: str
    expires_at: float
    grant: str = ""  # the grant created from it


@dataclass(slots=True)
class Grant:
    grant_id: str
    client_id: str
    realm: str
    scope: str
    refresh_token: str
    refresh_issued_at: float  # when this value was created
    refresh_expires_at: float  # extended with every refresh
    hard_expires_at: float
    refreshed_at: float = 0.0
    previous_token: str = ""
    previous_until: float = 0.0
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    grant_id: str
    expires_at: float


class OAuthServer:
    def __init__(self, world: World) -> None:
        self.world = world
        self.clients: dict[str, Client] = {}
        self.codes: dict[str, Code] = {}
        self.grants: dict[str, Grant] = {}
        self.access: dict[str, Access] = {}
        self.refresh: dict[str, str] = {}  # every refresh value ever issued → its grant

    # Clients ----------------------------------------------------------------------------------

    def register(self, client_id: str, secret: str, redirect_uris: list[str]) -> Client:
        client = self.clients.get(client_id) or Client(client_id, secret)
        client.secret = secret
        client.redirect_uris += [uri for uri in redirect_uris if uri not in client.redirect_uris]
        self.clients[client_id] = client
        self.world.log.add("client", asdict(client))
        return client

    def authenticate(self, header: str, form: dict[str, str]) -> Client:
        """By Basic header or form fields. Raises OAuthError."""
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "basic":
            try:
                decoded = base64.b64decode(value.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                decoded = ""
            client_id, _, secret = decoded.partition(":")
        client = self.clients.get(client_id)
        if client is None or not secrets.compare_digest(client.secret.encode(), secret.encode()):
            raise OAuthError("invalid_client", status=401)
        return client

    # Authorization ----------------------------------------------------------------------------

    def check_authorization(self, query: dict[str, str]) -> Client:
        client = self.clients.get(query.get("client_id", ""))
        if client is None:
            raise BadAuthorization("The app that sent you here is not known (client_id).")
        if not client.accepts(query.get("redirect_uri", "")):
            raise BadAuthorization("The redirect_uri is not one that this app has registered.")
        if query.get("response_type") != "code":
            raise BadAuthorization("The response_type must be «code».")
        if not _is_known_scope(query.get("scope", "")):
            raise BadAuthorization("Invalid permissions requested (scope).")
        return client

    def issue_code(self, client_id: str, realm: str, redirect_uri: str, scope: str) -> str:
        chance = self.world.chance
        code = f"XAB1{chance.below(10**10):010d}{chance.url_safe(24)}"
        expires_at = self.world.clock.now() + CODE_LIFE
        self._keep_code(code, Code(client_id, realm, redirect_uri, scope, expires_at))
        return code

    def _keep_code(self, value: str, code: Code) -> None:
        self.codes[value] = code
        self.world.log.add("code", value, _floats_as_text(asdict(code)))

    # The token endpoint -----------------------------------------------------------------------

    def exchange(self, client: Client, value: str, redirect_uri: str) -> Grant:
        code = self.codes.get(value)
        if code is None or code.client_id != client.client_id:
            raise OAuthError("invalid_grant", "Invalid authorization code")
        company = self.world.companies.get(code.realm)
        if code.grant:
            grant = self.grants.get(code.grant)
            if grant and company and company.switches.code_reuse_revokes:
                self._end(grant)
            raise OAuthError("invalid_grant", "Invalid authorization code")
        if self.world.clock.now() > code.expires_at or company is None:
            raise OAuthError("invalid_grant", "Invalid authorization code")
        if redirect_uri != code.redirect_uri:
            raise OAuthError("invalid_grant")
        grant = self.grant(client.client_id, code.realm, code.scope)
        code.grant = grant.grant_id
        self._keep_code(value, code)
        return grant

    def grant(self, client_id: str, realm: str, scope: str) -> Grant:
        now = self.world.clock.now()
        grant = Grant(
            grant_id=self.world.chance.hex(8),
            client_id=client_id,
            realm=realm,
            scope=scope,
            refresh_token=_refresh_value(now, self.world.chance),
            refresh_issued_at=now,
            refresh_expires_at=now + REFRESH_LIFE,
            hard_expires_at=now + HARD_LIFE,
        )
        self._keep_grant(grant)
        return grant

    def renew(self, client: Client, value: str) -> Grant:
        if value in self.access:
            raise OAuthError("invalid_grant", "Incorrect Token type or clientID")
        grant = self.grants.get(self.refresh.get(value, ""))
        if grant is None or grant.is_over:
            raise OAuthError("invalid_grant", "Incorrect or invalid refresh token")
        if grant.client_id != client.client_id:
            raise OAuthError("invalid_grant", "Incorrect Token type or clientID")
        company = self.world.companies.get(grant.realm)
        now = self.world.clock.now()
        if company is None or now > min(grant.refresh_expires_at, grant.hard_expires_at):
            raise OAuthError("invalid_grant", "Token invalid")
        is_current = value == grant.refresh_token
        if not is_current and not (value == grant.previous_token and now <= grant.previous_until):
            raise OAuthError("invalid_grant", "Incorrect or invalid refresh token")
        window = company.switches.punish_concurrent_refresh
        if window and grant.refreshed_at and now - grant.refreshed_at <= window:
            self._end(grant)
            raise OAuthError("invalid_grant", "Incorrect or invalid refresh token")
        self._roll(grant, company, now, is_current)
        return grant

    def _roll(self, grant: Grant, company: Company, now: float, is_current: bool) -> None:
        """Every refresh restarts the rolling window; the value changes about once a day."""
        aged = now - grant.refresh_issued_at >= company.switches.refresh_rotates_after
        if aged and is_current:
            grant.previous_token = grant.refresh_token
            grant.previous_until = now + company.switches.old_refresh_grace
            grant.refresh_token = _refresh_value(now, self.world.chance)
            grant.refresh_issued_at = now
        grant.refresh_expires_at = now + REFRESH_LIFE
        grant.refreshed_at = now
        self._keep_grant(grant)

    def token_answer(self, grant: Grant, with_hard_expiry: bool) -> Document:
        now = self.world.clock.now()
        token = _access_value(self.world.chance)
        self._keep_access(token, Access(grant.grant_id, now + ACCESS_LIFE))
        rolling = min(grant.refresh_expires_at, grant.hard_expires_at) - now
        answer: Document = {
            "token_type": "bearer",
            "access_token": token,
            "expires_in": int(ACCESS_LIFE),
            "refresh_token": grant.refresh_token,
            "x_refresh_token_expires_in": max(0, round(rolling)),
        }
        if with_hard_expiry:
            answer["x_refresh_token_hard_expires_in"] = round(grant.hard_expires_at - now)
        return answer

    def _keep_access(self, token: str, access: Access) -> None:
        self.access[token] = access
        self.world.log.add("access", token, access.grant_id, str(access.expires_at))

    def _keep_grant(self, grant: Grant) -> None:
        self.grants[grant.grant_id] = grant
        self.refresh[grant.refresh_token] = grant.grant_id
        if grant.previous_token:
            self.refresh[grant.previous_token] = grant.grant_id
        self.world.log.add("grant", _floats_as_text(asdict(grant)))

    # Ends -------------------------------------------------------------------------------------

    def revoke(self, client: Client, token: str) -> bool:
        """Ends the app's connection with this company; False for an unknown token."""
        access = self.access.get(token)
        grant_id = access.grant_id if access else self.refresh.get(token, "")
        grant = self.grants.get(grant_id)
        if grant is None or grant.is_over or grant.client_id != client.client_id:
            return False
        for other in self.grants.values():
            if (other.client_id, other.realm) == (grant.client_id, grant.realm):
                self._end(other)
        return True

    def disconnect(self, realm: str) -> int:
        """The user removes the app inside QuickBooks. Returns the number of grants ended."""
        alive = [g for g in self.grants.values() if g.realm == realm and not g.is_over]
        for grant in alive:
            self._end(grant)
        return len(alive)

    def _end(self, grant: Grant) -> None:
        if not grant.is_over:
            grant.is_over = True
            self._keep_grant(grant)

    # Bearer tokens ----------------------------------------------------------------------------

    def grant_of(self, token: str) -> Grant | None:
        access = self.access.get(token)
        if access is None or self.world.clock.now() > access.expires_at:
            return None
        return self.live(access.grant_id)

    def live(self, grant_id: str) -> Grant | None:
        grant = self.grants.get(grant_id)
        return grant if grant and not grant.is_over else None

    # The log ----------------------------------------------------------------------------------

    def apply(self, change: list[Json]) -> bool:
        match change:
            case ["client", dict(values)]:
                uris = values.get("redirect_uris")
                listed = [uri for uri in uris if isinstance(uri, str)] if uris else []  # type: ignore[union-attr]
                client = Client(str(values["client_id"]), str(values["secret"]), listed)
                self.clients[client.client_id] = client
            case ["code", str(value), dict(values)]:
                self.codes[value] = Code(**_restored(values, "expires_at"))  # type: ignore[arg-type]
            case ["grant", dict(values)]:
                grant = Grant(**_restored(values, *_GRANT_TIMES))  # type: ignore[arg-type]
                self.grants[grant.grant_id] = grant
                self.refresh[grant.refresh_token] = grant.grant_id
                if grant.previous_token:
                    self.refresh[grant.previous_token] = grant.grant_id
            case ["access", str(token), str(grant_id), str(expires_at)]:
                self.access[token] = Access(grant_id, float(expires_at))
            case _:
                return False
        return True

    def snapshot(self) -> Iterator[Change]:
        for client in self.clients.values():
            yield ["client", asdict(client)]
        for value, code in self.codes.items():
            yield ["code", value, _floats_as_text(asdict(code))]
        for grant in self.grants.values():
            yield ["grant", _floats_as_text(asdict(grant))]
        now = self.world.clock.now()
        for token, access in self.access.items():
            if access.expires_at > now:
                yield ["access", token, access.grant_id, str(access.expires_at)]


_GRANT_TIMES = (
    "refresh_issued_at",
    "refresh_expires_at",
    "hard_expires_at",
    "refreshed_at",
    "previous_until",
)


def _floats_as_text(values: dict[str, object]) -> dict[str, object]:
    return {key: str(value) if isinstance(value, float) else value for key, value in values.items()}


def _restored(values: Document, *times: str) -> dict[str, Json | float]:
    return {
        key: float(value) if key in times and isinstance(value, str | Decimal) else value
        for key, value in values.items()
    }


def _is_known_scope(scope: str) -> bool:
    scopes = scope.split()
    return bool(scopes) and all(
        each in SCOPES
        or each.startswith(("com.intuit.quickbooks", "project-", "app-"))
        or each in ("indirect-tax.tax-calculation.quickbooks", "time-tracking.time-entry")
        for each in scopes
    )


def _access_value(chance: Chance) -> str:
    header = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2IiwieC5vcmciOiJIMCJ9"
    parts = (chance.url_safe(length) for length in (16, 360, 16))
    return f"{header}..{'.'.join(parts)}"


def _refresh_value(now: float, chance: Chance) -> str:
    return f"RT1-{chance.below(90) + 10}-H0-{int(now + REFRESH_LIFE)}{chance.letters(20)}"
