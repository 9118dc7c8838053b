"""Time, faults, limits, repeats and restarts: what a client meets between two calls."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from simulator.documents import Document, part_of, text_of
from simulator.seed import CRAIG, OAK, RIVERA
from simulator.testing import ApiClient, SimulatorHandle, running_simulator

DAY = 86400


@pytest.fixture
def api(simulator: SimulatorHandle) -> Iterator[ApiClient]:
    client = simulator.client(CRAIG)
    yield client
    client.close()


def names(simulator: SimulatorHandle, realm: str = CRAIG) -> list[str]:
    return [text_of(each, "DisplayName") for each in simulator.books(realm).get("Customer", [])]


# Repeats ---------------------------------------------------------------------------------------


def test_a_repeat_gets_the_first_answer_byte_for_byte(
    api: ApiClient, simulator: SimulatorHandle
) -> None:
    first = api.post("customer", {"DisplayName": "Once"}, requestid="r1")
    second = api.post("customer", {"DisplayName": "Another"}, requestid="r1")
    assert second.text == first.text
    assert names(simulator).count("Once") == 1
    assert [each["replayed"] for each in simulator.journal()] == [False, True]


def test_a_refusal_is_repeated_unless_switched_off(
    api: ApiClient, simulator: SimulatorHandle
) -> None:
    assert api.post("customer", {"DisplayName": "Cool Cars"}, requestid="r1").code == "6240"
    assert api.post("customer", {"DisplayName": "Cooler"}, requestid="r1").code == "6240"
    simulator.company(CRAIG, replay_faults=False)
    assert api.post("customer", {"DisplayName": "Cool Cars"}, requestid="r2").code == "6240"
    assert api.post("customer", {"DisplayName": "Cooler"}, requestid="r2").status == 200


def test_a_request_id_is_forgotten_after_its_time(
    api: ApiClient, simulator: SimulatorHandle
) -> None:
    simulator.company(CRAIG, requestid_ttl=60)
    assert api.post("customer", {"DisplayName": "One"}, requestid="r1").status == 200
    simulator.advance(61)
    assert api.post("customer", {"DisplayName": "Two"}, requestid="r1").status == 200
    assert {"One", "Two"} <= set(names(simulator))


def test_in_a_batch_the_pair_of_ids_counts(api: ApiClient, simulator: SimulatorHandle) -> None:
    def create(bid: str, name: str) -> Document:
        return {"bId": bid, "operation": "create", "Customer": {"DisplayName": name}}

    first = api.batch(create("1", "A1"), create("2", "A2"), requestid="r1")
    again = api.batch(create("1", "A1"), create("3", "A3"), requestid="r1")
    assert again[0] == first[0]
    assert "Customer" in again[1]
    assert [each["replayed"] for each in simulator.journal()] == [False, False]
    assert sorted(set(names(simulator)) & {"A1", "A2", "A3"}) == ["A1", "A2", "A3"]


@pytest.mark.parametrize(("how", "made"), [("wait", 1), ("duplicate", 2), ("600", 1)])
def test_the_same_id_while_the_first_is_running(
    simulator: SimulatorHandle, how: str, made: int
) -> None:
    simulator.company(CRAIG, requestid_while_running=how, latency=0.3)
    clients = [simulator.client(CRAIG) for _ in range(2)]
    body = {"TotalAmt": 5, "CustomerRef": {"value": "1"}, "PaymentRefNum": "twin"}
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(each.post, "payment", body, requestid="r1") for each in clients]
        answers = [each.result() for each in running]
    for client in clients:
        client.close()
    twins = [p for p in simulator.books(CRAIG)["Payment"] if p.get("PaymentRefNum") == "twin"]
    assert len(twins) == made
    assert sorted(each.status for each in answers) == ([200, 400] if how == "600" else [200, 200])


# Faults on demand ------------------------------------------------------------------------------


def make(api: ApiClient, name: str, **query: object) -> int:
    return api.post("customer", {"DisplayName": name}, **query).status


def test_the_journal_keeps_answers_if_asked_to_those_that_were_lost_too(
    api: ApiClient, simulator: SimulatorHandle
) -> None:
    api.post("customer", {"DisplayName": "Before"})
    simulator.keep_answers()
    simulator.fault(match={"entity": "Customer"}, do={"reset": "after"})
    with pytest.raises((OSError, http.client.HTTPException)):
        api.post("customer", {"DisplayName": "Cut Off"})
    before, lost = simulator.journal()
    assert before["answer"] is None
    assert lost["status"] is None
    assert '"DisplayName":"Cut Off"' in (lost["answer"] or "")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_before_or_after_the_commit(
    api: ApiClient, simulator: SimulatorHandle, when: str
) -> None:
    simulator.fault(
        match={"entity": "Customer", "operation": "create", "nth": 1}, do={"reset": when}
    )
    with pytest.raises((OSError, http.client.HTTPException)):
        make(api, "Cut Off", requestid="r1")
    assert ("Cut Off" in names(simulator)) is (when == "after")
    assert make(api, "Cut Off", requestid="r1") == 200  # and the repeat settles it
    assert names(simulator).count("Cut Off") == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_timeout_before_or_after_the_commit(simulator: SimulatorHandle, when: str) -> None:
    simulator.fault(match={"path": "/customer", "times": 1}, do={"timeout": when})
    token = simulator.grant(CRAIG)["access_token"]
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{simulator.url}/v3/company/{CRAIG}/customer",
            json={"DisplayName": "Too Slow"},
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=0.3,
        )
    assert ("Too Slow" in names(simulator)) is (when == "after")
    assert simulator.journal()[-1]["status"] is None


def test_a_truncated_answer(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.fault(do={"truncate": 40}, match={"times": 1})
    with pytest.raises(http.client.IncompleteRead) as cut:
        make(api, "Half Told")
    assert len(cut.value.partial) == 40
    assert "Half Told" in names(simulator)


def test_outages_come_as_html_and_may_have_done_the_work(
    api: ApiClient, simulator: SimulatorHandle
) -> None:
    simulator.fault(match={"nth": 1}, do={"status": 503})
    simulator.fault(match={"nth": 1}, do={"status": 502, "after_commit": True})
    answer = api.post("customer", {"DisplayName": "Gone"})
    assert (answer.status, answer.headers["Content-Type"]) == (503, "text/html")
    assert "503 Service Unavailable" in answer.text
    assert api.post("customer", {"DisplayName": "Done"}).status == 502
    assert "Gone" not in names(simulator)
    assert "Done" in names(simulator)


def test_429_in_every_dress(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.fault(match={"nth": 1}, do={"status": 429})
    simulator.fault(match={"nth": 1}, do={"status": 429, "format": "xml", "retry_after": 7})
    plain = api.get("customer/1")
    assert (plain.status, plain.code) == (429, "3001")
    assert "Retry-After" not in plain.headers
    dressed = api.get("customer/1")
    assert dressed.headers["Retry-After"] == "7"
    assert dressed.text.startswith("<?xml")
    assert api.get("customer/1").status == 200


def test_faults_of_our_own_wording(api: ApiClient, simulator: SimulatorHandle) -> None:
    words = "Business Validation Error: You can only add or edit one name at a time."
    simulator.fault(match={"nth": 1}, do={"fault": {"code": "6000", "detail": words}})
    assert api.post("customer", {"DisplayName": "X"}).error["detail"] == words


def test_a_batch_with_holes_and_hurt_items(api: ApiClient, simulator: SimulatorHandle) -> None:
    items: list[Document] = [
        {"bId": str(n), "operation": "create", "Customer": {"DisplayName": f"B{n}"}}
        for n in range(3)
    ]
    simulator.fault(match={"operation": "batch", "nth": 1}, do={"missing_bids": ["1"]})
    assert [each["bId"] for each in api.batch(*items, requestid="r1")] == ["0", "2"]
    assert "B1" in names(simulator)
    assert len(api.batch(*items, requestid="r1")) == 3
    throttle = {"item_fault": {"bId": "2", "code": "3001"}}
    simulator.fault(match={"operation": "batch", "times": 1}, do=throttle)
    hurt = api.batch(*items, requestid="r2")
    assert [("Fault" in each) for each in hurt] == [True, True, True]  # two names are taken
    assert '"3001"' in str(hurt[2]).replace("'", '"')


def test_somebody_edits_between_read_and_write(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.fault(match={"operation": "update", "nth": 1}, do={"bump_sync_token": True})
    update = {"Id": "1", "SyncToken": "0", "sparse": True, "Notes": "mine"}
    assert api.post("customer", update).code == "5010"
    assert api.post("customer", {**update, "SyncToken": "1"}).status == 200


def test_tokens_fail_on_demand_too(simulator: SimulatorHandle) -> None:
    simulator.fault(match={"operation": "refresh_token", "nth": 1}, do={"status": 503})
    granted = simulator.grant(RIVERA)
    assert refresh(simulator, granted["refresh_token"]).status_code == 503
    assert refresh(simulator, granted["refresh_token"]).status_code == 200


def test_a_rule_with_a_slip_is_refused(simulator: SimulatorHandle) -> None:
    with pytest.raises(ValueError, match="does not know"):
        simulator.fault(do={"expload": True})


@pytest.mark.parametrize("switches", [{"latency": "fast"}, {"limits": 1}, {"nix": 1}])
def test_a_switch_with_a_slip_is_refused(
    simulator: SimulatorHandle, switches: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=next(iter(switches))):
        simulator.company(RIVERA, **switches)


# Time ------------------------------------------------------------------------------------------


def test_work_goes_on_after_the_client_hung_up(simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, latency=0.5)
    hang_up(simulator, "Unseen")
    wait_for(lambda: "Unseen" in names(simulator))
    simulator.company(CRAIG, works_on_after_hangup=0.05)
    hang_up(simulator, "Dropped")
    time.sleep(0.7)
    assert "Dropped" not in names(simulator)


def hang_up(simulator: SimulatorHandle, name: str) -> None:
    token = simulator.grant(CRAIG)["access_token"]
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{simulator.url}/v3/company/{CRAIG}/customer",
            json={"DisplayName": name},
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=0.1,
        )


def wait_for(happens: object, seconds: float = 5) -> None:
    assert callable(happens)
    ends_at = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_limits_in_real_time(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, limits=True)
    statuses = [api.get("customer/1").status for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2  # ten a second
    simulator.advance(1.1)
    for _ in range(48):
        assert [api.get("customer/1").status for _ in range(10)] == [200] * 10
        simulator.advance(1.01)
    assert [api.get("customer/1").status for _ in range(3)].count(429) == 0
    simulator.advance(60)
    simulator.company(CRAIG, batch_counts_items=True)
    items: list[Document] = [{"bId": str(n), "Query": "select * from Term"} for n in range(30)]
    counted = []
    for _ in range(18):
        simulator.advance(0.5)
        counted.append(api.post("batch", {"BatchItemRequest": items}).status)
    assert counted == [200] * 17 + [429]  # 17 × 30 items are more than 500


def test_forty_batches_a_minute(api: ApiClient, simulator: SimulatorHandle) -> None:
    simulator.company(CRAIG, limits=True, retry_after=30)
    body = {"BatchItemRequest": [{"bId": "1", "Query": "select * from Term"}]}
    for _ in range(40):
        assert api.post("batch", body).status == 200
        simulator.advance(0.2)
    answer = api.post("batch", body)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")


# Tokens ----------------------------------------------------------------------------------------


def refresh(
    simulator: SimulatorHandle, token: str, secret: str = "dunahub-development-secret", **form: str
) -> requests.Response:
    return requests.post(
        f"{simulator.url}/oauth2/v1/tokens/bearer",
        {"grant_type": "refresh_token", "refresh_token": token, **form},
        auth=("dunahub-development", secret),
        headers={"x-include-refresh-token-hard-expires-in": "true"},
        timeout=10,
    )


def test_the_refresh_token_changes_about_daily(simulator: SimulatorHandle) -> None:
    first = simulator.grant(RIVERA)["refresh_token"]
    simulator.advance(DAY - 60)
    answer = refresh(simulator, first)
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    assert list(answer.json()) == [
        "token_type", "access_token", "expires_in", "refresh_token", "x_refresh_token_expires_in",
        "x_refresh_token_hard_expires_in",
    ]  # fmt: skip
    assert answer.json()["refresh_token"] == first
    simulator.advance(120)
    second = refresh(simulator, first).json()["refresh_token"]
    assert second != first
    refused = refresh(simulator, first)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_the_old_refresh_token_may_have_a_grace(simulator: SimulatorHandle) -> None:
    simulator.company(RIVERA, old_refresh_grace=DAY)
    first = simulator.grant(RIVERA)["refresh_token"]
    simulator.advance(DAY + 1)
    second = refresh(simulator, first).json()["refresh_token"]
    assert refresh(simulator, first).json()["refresh_token"] == second
    simulator.advance(DAY + 1)
    assert refresh(simulator, first).status_code == 400


def test_a_hundred_days_roll_and_five_years_do_not(simulator: SimulatorHandle) -> None:
    token = simulator.grant(RIVERA)["refresh_token"]
    left = 5 * 365.25 * DAY
    for _ in range(18):
        simulator.advance(100 * DAY)
        answer = refresh(simulator, token).json()
        token, left = answer["refresh_token"], left - 100 * DAY
        assert abs(answer["x_refresh_token_hard_expires_in"] - left) < 5
    simulator.advance(30 * DAY)
    assert refresh(simulator, token).status_code == 400
    idle = simulator.grant(RIVERA)["refresh_token"]
    simulator.advance(102 * DAY)
    assert refresh(simulator, idle).status_code == 400


def test_two_refreshes_at_once_may_be_punished(simulator: SimulatorHandle) -> None:
    simulator.company(RIVERA, punish_concurrent_refresh=5)
    granted = simulator.grant(RIVERA)
    assert refresh(simulator, granted["refresh_token"]).status_code == 200
    assert refresh(simulator, granted["refresh_token"]).status_code == 400
    simulator.advance(10)
    assert refresh(simulator, granted["refresh_token"]).status_code == 400


def test_clients_are_told_apart(simulator: SimulatorHandle) -> None:
    granted = simulator.grant(RIVERA)
    wrong = refresh(simulator, granted["refresh_token"], secret="wrong")
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})
    access = refresh(simulator, granted["access_token"]).json()
    assert access["error_description"] == "Incorrect Token type or clientID"
    simulator.add_client("other", "other-secret", "https://other.example/back")
    body = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    body |= {"client_id": "other", "client_secret": "other-secret"}
    url = f"{simulator.url}/oauth2/v1/tokens/bearer"
    answer = requests.post(url, body, timeout=10).json()
    assert answer["error_description"] == "Incorrect Token type or clientID"
    assert requests.post(url, {**body, "grant_type": "password"}, timeout=10).json() == {
        "error": "unsupported_grant_type"
    }


def test_revoking_either_token_ends_both(simulator: SimulatorHandle) -> None:
    granted = simulator.grant(OAK)
    auth = (granted["client_id"], granted["client_secret"])
    url = f"{simulator.url}/v2/oauth2/tokens/revoke"
    answer = requests.post(url, json={"token": granted["access_token"]}, auth=auth, timeout=10)
    assert (answer.status_code, answer.text) == (200, "")
    assert refresh(simulator, granted["refresh_token"]).status_code == 400
    again = requests.post(url, json={"token": granted["access_token"]}, auth=auth, timeout=10)
    assert again.status_code == 400


def test_the_consent_page(simulator: SimulatorHandle) -> None:
    url = f"{simulator.url}/connect/oauth2"
    query = {
        "client_id": "dunahub-development",
        "response_type": "code",
        "scope": "com.intuit.quickbooks.accounting",
        "redirect_uri": "http://127.0.0.1:5000/settings/quickbooks/callback",
        "state": 'a"<b>',
    }
    page = requests.get(url, query, timeout=10)
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert 'value="a&#34;&lt;b&gt;"' in page.text
    assert len(re.findall(r'type="radio" name="realm_id"', page.text)) == 4
    for wrong in (
        {"client_id": "nobody"},
        {"redirect_uri": "http://127.0.0.1:5000/settings/quickbooks/callback/"},
        {"redirect_uri": "https://evil.example/settings/quickbooks/callback"},
        {"response_type": "token"},
        {"scope": "everything"},
    ):
        refused = requests.get(url, {**query, **wrong}, timeout=10, allow_redirects=False)
        assert refused.status_code == 400


def test_discovery_names_its_own_address(simulator: SimulatorHandle) -> None:
    for name in ("openid_configuration", "openid_sandbox_configuration"):
        for slash in ("", "/"):
            url = f"{simulator.url}/.well-known/{name}{slash}"
            document = requests.get(url, timeout=10).json()
            assert document["token_endpoint"] == f"{simulator.url}/oauth2/v1/tokens/bearer"
            assert document["scopes_supported"] == [
                "openid",
                "email",
                "profile",
                "address",
                "phone",
            ]


# Restart ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_restart_keeps_books_tokens_and_request_ids(tmp_path: Path, ending: str) -> None:
    with running_simulator(tmp_path) as simulator:
        realm = simulator.add_company("Lasting Ltd")
        simulator.company(realm, CustomTxnNumbers=True, latency=0.01)
        simulator.advance(100)
        granted = simulator.grant(realm)
        api = simulator.client(realm)
        first = api.post("customer", {"DisplayName": "Stays"}, requestid="r1")
        customer = text_of(first.object("Customer"), "Id")
        body = {"TotalAmt": 12.5, "CustomerRef": {"value": customer}}
        api.post("payment", body, requestid="r2")
        deleted = api.post("payment", body).object("Payment")
        api.post("payment", {"Id": deleted["Id"], "SyncToken": "0"}, operation="delete")
        before = simulator.books(realm)
        settings = simulator.company(realm)
        getattr(simulator, ending)()
        api.close()
        simulator.start()
        assert simulator.books(realm) == before
        assert simulator.company(realm) == settings
        assert api.post("customer", {"DisplayName": "Stays"}, requestid="r1").text == first.text
        assert refresh(simulator, granted["refresh_token"]).status_code == 200
        next_one = api.post("payment", body).object("Payment")
        assert int(text_of(next_one, "Id")) == int(text_of(deleted, "Id")) + 1
        assert (
            '"status":"Deleted"'
            in api.get("cdc", entities="Payment", changedSince="2020-01-01").text
        )
        api.close()


def test_a_kill_in_the_middle_of_everything_loses_nothing_answered(tmp_path: Path) -> None:
    with running_simulator(tmp_path) as simulator:
        answered: list[str] = []
        stop = threading.Event()

        def create(number: int) -> None:
            api = simulator.client(RIVERA)
            count = 0
            while not stop.is_set():
                name = f"W{number}-{count}"
                try:
                    answer = api.post("customer", {"DisplayName": name})
                except (OSError, http.client.HTTPException):
                    break
                if answer.status == 200:
                    answered.append(name)
                count += 1
            api.close()

        with ThreadPoolExecutor(4) as pool:
            for number in range(4):
                pool.submit(create, number)
            time.sleep(0.5)
            simulator.kill()
            stop.set()
        simulator.start()
        assert len(answered) > 20
        assert set(answered) <= set(names(simulator, RIVERA))


# Pages -----------------------------------------------------------------------------------------


def test_every_page_opens(simulator: SimulatorHandle, api: ApiClient) -> None:
    api.post("customer", {"DisplayName": "<script>alert(1)</script> & co"})
    detail: Document = {"ItemRef": {"value": "1"}}
    line: Document = {"Amount": 9, "DetailType": "SalesItemLineDetail"}
    line["SalesItemLineDetail"] = detail
    told: Document = {"CustomerRef": {"value": "1"}, "Line": [line]}
    receipt = api.post("refundreceipt", told).object("RefundReceipt")["Id"]
    for path in (
        "", "app", "app/homepage", "app/customers", "app/customers?q=amy", "app/invoices",
        "app/payments", "app/items", "app/chartofaccounts", "app/requests", "app/invoice?txnId=70",
        "app/recvpayment?txnId=71", f"app/refundreceipt?txnId={receipt}",
        "app/customerdetail?nameId=1", "app/customers?page=99",
    ):  # fmt: skip
        mark = "&" if "?" in path else "?"
        page = requests.get(f"{simulator.url}/{path}{mark}realm={CRAIG}", timeout=10)
        assert page.status_code == 200, path
        assert "<script>" not in page.text
        assert not re.findall(r"""(?:src|href)=["']https?://""", page.text)


def test_deep_links_find_their_company(simulator: SimulatorHandle, api: ApiClient) -> None:
    link = f"{simulator.url}/app/invoice?txnId=70"
    assert "Red Rock Diner" in requests.get(link, timeout=10).text  # only one company has it
    browser = requests.Session()
    shared = f"{simulator.url}/app/customerdetail?nameId=1"
    other = simulator.client(RIVERA)
    other.post("customer", {"DisplayName": "Rivera's First"})
    other.close()
    assert "Which company?" in browser.get(shared, timeout=10).text
    browser.get(f"{simulator.url}/app/homepage?realm={RIVERA}", timeout=10)
    assert "Rivera&#39;s First" in browser.get(shared, timeout=10).text
    browser.close()
    assert requests.get(f"{simulator.url}/app/invoice?txnId=nix", timeout=10).status_code == 404


def test_the_bookkeeper_works_over_the_control_interface(simulator: SimulatorHandle) -> None:
    api = simulator.client(CRAIG)
    moved = simulator.act(CRAIG, "move", entity="Invoice", object_id="70", customer_id="2")
    simulator.act(CRAIG, "merge_customers", from_id="2", into_id="3")

    assert text_of(part_of(moved, "CustomerRef"), "value") == "2"
    found = api.get("invoice/70").object("Invoice")
    assert text_of(part_of(found, "CustomerRef"), "value") == "3"
    with pytest.raises(ValueError, match="610"):
        simulator.act(CRAIG, "void", entity="Invoice", object_id="424242")
    with pytest.raises(ValueError, match="missing a required argument"):
        simulator.act(CRAIG, "void", entity="Invoice")
    with pytest.raises(ValueError, match="one of"):
        simulator.act(CRAIG, "burn")
    api.close()
