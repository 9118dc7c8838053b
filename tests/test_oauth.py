"""Intuit's sign-in at the wire: what we send, and what each answer means."""

import base64
import json
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from responses import RequestsMock

from config import Config
from quickbooks import oauth
from quickbooks.oauth import GrantRefused, Misconfigured, Unavailable

TOKEN_URL = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
REVOKE_URL = "https://developer.api.intuit.com/v2/oauth2/tokens/revoke"
DISCOVERED = {
    "issuer": "https://oauth.platform.intuit.com/op/v1",
    "authorization_endpoint": "https://appcenter.intuit.com/connect/oauth2",
    "token_endpoint": TOKEN_URL,
    "revocation_endpoint": REVOKE_URL,
}
GRANT = {
    "token_type": "bearer",
    "access_token": "eyJlbmMi.access",
    "expires_in": 3600,
    "refresh_token": "RT1-39-H3-refresh",
    "x_refresh_token_expires_in": 8726400,
}


@pytest.fixture
def sandbox(config: Config) -> Config:
    return replace(
        config, environment="sandbox", client_id="our-id", client_secret="our-secret-value"
    )


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[RequestsMock]:
    monkeypatch.setattr(oauth, "_discovered", {})
    with RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(oauth.DISCOVERY["sandbox"], json=DISCOVERED)
        yield wire


def form(request: requests.PreparedRequest) -> dict[str, list[str]]:
    body = request.body
    return parse_qs(body.decode() if isinstance(body, bytes) else str(body))


def test_the_consent_page_is_asked_for_accounting_only(sandbox: Config, wire: RequestsMock) -> None:
    address = urlsplit(oauth.authorize_url(sandbox, "the-state"))
    assert (
        f"{address.scheme}://{address.netloc}{address.path}" == DISCOVERED["authorization_endpoint"]
    )
    assert parse_qs(address.query) == {
        "response_type": ["code"],
        "client_id": ["our-id"],
        "redirect_uri": [sandbox.redirect_uri],
        "scope": ["com.intuit.quickbooks.accounting"],
        "state": ["the-state"],
    }


def test_a_code_is_exchanged_with_basic_sign_in(sandbox: Config, wire: RequestsMock) -> None:
    sent = wire.post(TOKEN_URL, json={**GRANT, "x_refresh_token_hard_expires_in": 157494248})
    grant = oauth.exchange(sandbox, "the-code")
    assert grant.access_token == GRANT["access_token"]
    assert grant.access_lasts == timedelta(hours=1)
    assert grant.hard_lasts == timedelta(seconds=157494248)
    request = sent.calls[0].request
    assert form(request) == {
        "grant_type": ["authorization_code"],
        "code": ["the-code"],
        "redirect_uri": [sandbox.redirect_uri],
    }
    expected = base64.b64encode(b"our-id:our-secret-value").decode()
    assert request.headers["Authorization"] == f"Basic {expected}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["x-include-refresh-token-hard-expires-in"] == "true"


def test_a_refresh_sends_no_scope(sandbox: Config, wire: RequestsMock) -> None:
    sent = wire.post(TOKEN_URL, json=GRANT)
    grant = oauth.refresh(sandbox, "RT1-old")
    assert form(sent.calls[0].request) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["RT1-old"],
    }
    assert grant.refresh_token == GRANT["refresh_token"]
    assert grant.hard_lasts is None


def test_numbers_written_as_strings_are_numbers(sandbox: Config, wire: RequestsMock) -> None:
    strings = {"expires_in": "3600", "x_refresh_token_expires_in": "8726400"}
    wire.post(TOKEN_URL, json={**GRANT, **strings})
    grant = oauth.refresh(sandbox, "RT1-old")
    assert grant.access_lasts == timedelta(hours=1)
    assert grant.refresh_lasts == timedelta(seconds=8726400)


@pytest.mark.parametrize("odd", ["1e400", "-1e400", "1e12", "null", "{}", '"soon"', "NaN"])
def test_case_e10_odd_times_of_a_sign_in_are_no_error(
    sandbox: Config, wire: RequestsMock, odd: str
) -> None:
    body = json.dumps(GRANT)[:-1] + f', "expires_in": {odd}, "x_refresh_token_expires_in": {odd}}}'
    wire.post(TOKEN_URL, body=body)
    with suppress(Unavailable):  # by oauthlib
        grant = oauth.refresh(sandbox, "RT1-old")
        assert grant.access_token == GRANT["access_token"]
        assert datetime.now(UTC) + grant.access_lasts + grant.refresh_lasts


@pytest.mark.parametrize("odd", [None, 0, -1, "-5", True, False, "", "soon", [], {}])
def test_case_r21_a_time_that_says_nothing_ends_no_sign_in(
    sandbox: Config, wire: RequestsMock, odd: object
) -> None:
    times = ("expires_in", "x_refresh_token_expires_in", "x_refresh_token_hard_expires_in")
    wire.post(TOKEN_URL, json={**GRANT, **dict.fromkeys(times, odd)})
    try:
        grant = oauth.refresh(sandbox, "RT1-old")
    except Unavailable:  # by oauthlib
        return
    assert (grant.access_lasts, grant.refresh_lasts) == (timedelta(hours=1), timedelta(days=100))
    assert grant.hard_lasts is None


@pytest.mark.parametrize("body", ["[" * 100_000, "null", "[]", "{}", '{"token_endpoint": 1}', ""])
def test_a_discovery_document_that_is_none_is_an_outage(
    sandbox: Config, wire: RequestsMock, body: str
) -> None:
    wire.replace("GET", oauth.DISCOVERY["sandbox"], body=body)
    with pytest.raises(Unavailable):
        oauth.authorize_url(sandbox, "the-state")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": "invalid_grant"}, GrantRefused),
        (400, {"error_description": "Token invalid", "error": "invalid_grant"}, GrantRefused),
        (
            400,
            {"error": "invalid_grant", "error_description": "Incorrect Token type or clientID"},
            Misconfigured,
        ),
        (401, {"error": "invalid_client"}, Misconfigured),
        (400, {"error": "unauthorized_client"}, Misconfigured),
        (400, {"error": "invalid_request"}, Unavailable),
        (400, "<html>Bad Request</html>", Unavailable),
        (400, {"error": {"message": "odd"}}, Unavailable),
        (400, [], Unavailable),
        (401, "", Unavailable),
        (403, "<html>Forbidden</html>", Unavailable),
        (429, "", Unavailable),
        (500, {"error": "server_error"}, Unavailable),
        (500, {"error": "invalid_grant"}, Unavailable),
        (503, "<html>Service Unavailable</html>", Unavailable),
        (200, "<html>Sign in to the hotel network</html>", Unavailable),
        (200, {"token_type": "bearer"}, Unavailable),
        *((200, body, Unavailable) for body in ("null", "[]", "5", '"text"', "true", "[1]", "{}")),
        (200, '{"access_token": {}, "refresh_token": 1}', Unavailable),
        (302, "", Unavailable),
    ],
)
def test_rule_12_only_a_plain_invalid_grant_ends_a_sign_in(
    sandbox: Config, wire: RequestsMock, status: int, body: object, expected: type[Exception]
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    wire.post(TOKEN_URL, status=status, body=text, headers={"Location": "https://evil.example/"})
    with pytest.raises(expected):
        oauth.refresh(sandbox, "RT1-old")
    with pytest.raises(expected):
        oauth.exchange(sandbox, "the-code")


def test_a_refresh_that_names_no_new_refresh_token_keeps_the_old_one(
    sandbox: Config, wire: RequestsMock
) -> None:
    wire.post(TOKEN_URL, json={"token_type": "bearer", "access_token": "a"})
    assert oauth.refresh(sandbox, "RT1-old").refresh_token == "RT1-old"
    with pytest.raises(Unavailable):
        oauth.exchange(sandbox, "the-code")


@pytest.mark.parametrize(
    "problem", [requests.ConnectTimeout(), requests.ReadTimeout(), requests.ConnectionError()]
)
def test_an_unreachable_token_endpoint_ends_nothing(
    sandbox: Config, wire: RequestsMock, problem: Exception
) -> None:
    wire.post(TOKEN_URL, body=problem)
    with pytest.raises(Unavailable):
        oauth.refresh(sandbox, "RT1-old")


def test_redirects_are_never_followed_with_credentials(sandbox: Config, wire: RequestsMock) -> None:
    wire.post(TOKEN_URL, status=307, headers={"Location": "https://evil.example/token"})
    wire.post(REVOKE_URL, status=307, headers={"Location": "https://evil.example/revoke"})
    stolen = wire.post("https://evil.example/token", json=GRANT)
    revoked = wire.post("https://evil.example/revoke")
    with pytest.raises(Unavailable):
        oauth.refresh(sandbox, "RT1-old")
    with pytest.raises(Unavailable):
        oauth.revoke(sandbox, "RT1-old")
    assert (stolen.call_count, revoked.call_count) == (0, 0)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://oauth.platform.intuit.com/token",
        "https://intuit.com.evil.example/token",
        "https://evil-intuit.com/token",
        "https://evil.example/intuit.com",
        "//oauth.platform.intuit.com/token",
    ],
)
@pytest.mark.parametrize(
    "name", ["authorization_endpoint", "token_endpoint", "revocation_endpoint"]
)
def test_every_endpoint_must_be_https_on_intuit(
    sandbox: Config, wire: RequestsMock, name: str, endpoint: str
) -> None:
    wire.replace(responses.GET, oauth.DISCOVERY["sandbox"], json={**DISCOVERED, name: endpoint})
    with pytest.raises(Unavailable):
        oauth.endpoints(sandbox)


def test_discovery_is_read_once_and_outlives_its_outage(
    sandbox: Config, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = oauth.endpoints(sandbox)
    assert oauth.endpoints(sandbox) == first
    assert len(wire.calls) == 1
    monkeypatch.setattr(oauth, "DISCOVERY_LASTS", 0.0)
    wire.replace(responses.GET, oauth.DISCOVERY["sandbox"], status=503)
    assert oauth.endpoints(sandbox) == first


def test_without_discovery_there_is_no_sign_in(sandbox: Config, wire: RequestsMock) -> None:
    wire.replace(responses.GET, oauth.DISCOVERY["sandbox"], body="<html></html>")
    with pytest.raises(Unavailable):
        oauth.authorize_url(sandbox, "the-state")


@pytest.mark.parametrize(("status", "done"), [(200, True), (400, False), (404, False)])
def test_a_revoke_is_over_when_intuit_says_yes_or_does_not_know_it(
    sandbox: Config, wire: RequestsMock, status: int, done: bool
) -> None:
    sent = wire.post(REVOKE_URL, status=status)
    assert oauth.revoke(sandbox, "RT1-old") is done
    assert json.loads(sent.calls[0].request.body or "") == {"token": "RT1-old"}


@pytest.mark.parametrize("status", [302, 401, 429, 500, 503])
def test_a_revoke_goes_on_while_intuit_has_trouble(
    sandbox: Config, wire: RequestsMock, status: int
) -> None:
    wire.post(REVOKE_URL, status=status)
    with pytest.raises(Unavailable):
        oauth.revoke(sandbox, "RT1-old")


@pytest.mark.parametrize(
    "problem",
    [requests.ConnectionError("no way to RT1-old"), requests.ReadTimeout("after RT1-old")],
)
def test_rule_17_no_traceback_tells_a_secret(
    sandbox: Config, wire: RequestsMock, problem: Exception
) -> None:
    token = "-".join(["RT1", "old"])  # in pieces: a traceback shows the lines of this test
    wire.post(TOKEN_URL, body=problem)
    with pytest.raises(Unavailable) as caught:
        oauth.refresh(sandbox, token)
    wire.replace(responses.POST, TOKEN_URL, json=GRANT)
    grant = oauth.refresh(sandbox, token)
    told = "".join(traceback.format_exception(caught.value)) + repr(grant)
    for secret in ("our-secret-value", GRANT["access_token"], GRANT["refresh_token"], token):
        assert str(secret) not in told
