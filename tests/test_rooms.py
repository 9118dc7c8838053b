"""Settings → QuickBooks in rooms: how it is, Try now and Check now, and what was read when."""

import pytest
from sqlalchemy import text

from models.accounts import Role
from quickbooks import checking, facts
from tests.support.situation import SETTINGS, Situation
from tests.support.visitor import Visitor, new_person

ROOMS = [
    "Status",
    "Does it match?",
    "Activity",
    "How records arrive",
    "Settings check",
    "Test drive",
]
OF_MEMBERS = [name for name in ROOMS if name != "Test drive"]  # that is for who keeps the books
OUTAGE = {"status": 503, "body": "<html>down</html>"}


def rooms(visitor: Visitor) -> list[str]:
    return [link.get_text() for link in visitor.page.select(".rooms a")]


def status_card(visitor: Visitor) -> str:
    found = visitor.open(SETTINGS).page.select_one(".status-card")
    assert found
    return " ".join(found.get_text(" ").split())


@pytest.fixture
def tom(at: Situation) -> Visitor:
    new_person(at.session, at.firm, "tom@rivera.example", Role.MEMBER)
    return Visitor(at.app).sign_in("tom@rivera.example")


def test_every_room_leads_to_every_other_and_says_where_one_is(at: Situation, tom: Visitor) -> None:
    at.connect()
    for visitor, expected in ((at.ana, ROOMS), (tom, OF_MEMBERS)):
        links = [str(a["href"]) for a in visitor.open(SETTINGS).page.select(".rooms a")]
        for link, name in zip(links, expected, strict=True):
            assert visitor.open(link).status == 200
            assert rooms(visitor) == expected
            here = visitor.page.select_one(".rooms [aria-current]")
            assert here
            assert here.get_text() == name


def test_without_a_company_there_is_nothing_to_choose_or_check(at: Situation) -> None:
    assert rooms(at.ana.open(SETTINGS)) == []
    at.connect()
    at.disconnect()
    assert rooms(at.ana.open(SETTINGS)) == ["Status", "Does it match?", "Activity"]
    assert "Connect QuickBooks first" in at.ana.open(f"{SETTINGS}/check").text


# --- An outage ------------------------------------------------------------------------------------


def test_the_first_call_without_an_answer_is_said_at_once(at: Situation) -> None:
    at.connect()
    assert "isn't answering" not in status_card(at.ana)
    at.simulator.fault(match={"method": "POST"}, do=OUTAGE)
    at.save_lead()
    at.drain()
    card = status_card(at.ana)
    assert "Connected" in card
    assert "QuickBooks hasn't answered since" in card
    assert "1 record is waiting, and nothing is lost. Next try" in card
    assert "Try now" in card


def test_an_outage_that_lasts_is_said_between_two_tries_too(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"method": "POST"}, do=OUTAGE)
    at.save_lead()
    for _ in range(3):
        at.drain()
        at.pass_time()
    assert "1 record is waiting, and nothing is lost. Trying now." in status_card(at.ana)
    at.simulator.clear_faults()
    at.drain()
    assert "isn't answering" not in status_card(at.ana)


def test_a_busy_quickbooks_is_called_busy(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"method": "POST"}, do={"status": 429})
    at.save_lead()
    at.drain()
    assert "QuickBooks is busy. 1 record is waiting, and nothing is lost." in status_card(at.ana)


def test_try_now_ends_the_rest_and_says_whether_quickbooks_answers(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={}, do=OUTAGE)
    at.save_lead()
    for _ in range(2):
        at.drain()
        at.pass_time()
    at.session.execute(
        text(
            "UPDATE outbox_lanes SET pause_until = now() + interval '1 min',"
            " pause_reason = 'outage', outage_since = now(), consecutive_outages = 3"
        )
    )
    at.session.commit()
    at.ana.open(SETTINGS).submit(press="Try now")
    assert "QuickBooks isn't answering. Nothing is lost, and we'll keep trying." in at.ana.text
    at.simulator.clear_faults()
    at.ana.open(SETTINGS).submit(press="Check now")
    assert "QuickBooks is answering, and our access works." in at.ana.text
    assert (
        "QuickBooks is answering again. 1 record is waiting, and nothing is lost."
        in status_card(at.ana)
    )
    at.pass_time()
    at.drain()
    assert at.states() == ["lead synced"]


def test_an_outage_after_a_check_is_said_although_only_questions_are_asked(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/customer", "times": 1}, do={"reset": "before"})
    at.save_lead()
    at.drain()
    at.ana.open(SETTINGS).submit(press="Check now")
    assert "QuickBooks is answering again." in status_card(at.ana)
    at.simulator.fault(match={}, do=OUTAGE)
    for _ in range(3):
        at.pass_time()
        _end_rest_of_questions(at)
        at.drain()
        assert "QuickBooks hasn't answered since" in status_card(at.ana)
    at.simulator.clear_faults()
    at.ana.open(SETTINGS).submit(press="Check now")
    assert "QuickBooks is answering again." in status_card(at.ana)
    for _ in range(3):
        at.pass_time()
        at.drain()
    assert at.states() == ["lead synced"]


def test_an_outage_that_only_a_question_meets_is_said(at: Situation) -> None:
    at.connect()
    lead = at.save_lead()
    at.drain()
    at.ana.open(f"/leads/{lead}").submit(press="Send again")
    at.simulator.fault(match={}, do=OUTAGE)
    at.drain()
    assert "QuickBooks hasn't answered since" in status_card(at.ana)
    at.ana.open(f"/leads/{lead}")
    at.simulator.clear_faults()
    for _ in range(2):
        at.pass_time()
        _end_rest_of_questions(at)
        at.drain()
    assert at.states() == ["lead synced"]
    assert "isn't answering" not in status_card(at.ana)


def _end_rest_of_questions(at: Situation) -> None:
    with at.sessions.begin() as session:
        session.execute(text("UPDATE outbox_lanes SET questions_rest_until = clock_timestamp()"))


def test_try_now_leaves_a_rest_that_quickbooks_asked_for(at: Situation) -> None:
    at.connect()
    at.simulator.fault(match={"method": "POST"}, do={"status": 429})
    at.save_lead()
    at.drain()
    at.ana.open(SETTINGS).submit(press="Try now")
    at.session.rollback()
    assert at.session.scalar(text("SELECT pause_reason FROM outbox_lanes")) == "throttled"


def test_a_lapsed_plan_is_tried_now(at: Situation) -> None:
    at.connect()
    at.session.execute(text("UPDATE outbox_lanes SET state='held', hold_reason='plan_lapsed'"))
    at.session.commit()
    at.ana.open(SETTINGS).submit(press="Try now")
    at.session.rollback()
    assert at.session.scalar(text("SELECT state FROM outbox_lanes")) == "open"


def _denied(code: str) -> dict[str, object]:
    error = {"Message": "Denied", "Detail": "Denied", "code": code}
    return {
        "status": 403,
        "body": {"Fault": {"Error": [error], "type": "AuthorizationFault"}},
    }


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (_denied("120"), "the user who connected it is no longer an admin of this company"),
        ({"fault": {"code": "6190"}}, "its subscription has ended or has a billing problem"),
        (_denied("10200"), "This QuickBooks company was emptied and set up again"),
        ({"status": 429}, "QuickBooks is busy. Nothing is lost"),
        ({"status": 401}, "it just refused our access"),
        ({"status": 403, "body": "<html>no</html>"}, "it just refused our access"),
        ({"status": 200, "body": {}}, "in a way we don't understand"),
        (OUTAGE, "QuickBooks isn't answering"),
        ({"reset": "before"}, "QuickBooks isn't answering"),
    ],
)
def test_check_now_says_what_quickbooks_answered(
    at: Situation, do: dict[str, object], said: str
) -> None:
    at.connect()
    at.simulator.fault(match={"path": "/companyinfo", "times": 9}, do=do)
    at.ana.open(SETTINGS).submit(press="Check now")
    assert said in at.ana.text
    assert ("isn't answering" in said) == ("isn't answering" in at.ana.text)
    assert "Connected" in status_card(at.ana)


# --- S15: access removed inside QuickBooks --------------------------------------------------------


def test_case_s15_opening_the_settings_finds_that_access_was_removed(at: Situation) -> None:
    at.connect()
    at.simulator.revoke(at.connection.realm_id)
    at.ana.open(SETTINGS)
    assert "Connected" in status_card(at.ana)
    asks = at.ana.page.select_one("form[hx-post]")
    assert asks
    assert asks["hx-trigger"] == "load"
    told = at.ana.client.post(
        str(asks["hx-post"]),
        data={"csrf_token": at.ana.token()},
        headers={"HX-Request": "true"},
    )
    assert told.headers["HX-Refresh"] == "true"
    assert "Token expired" in status_card(at.ana)
    banner = at.ana.open("/leads").page.select_one(".needs")
    assert banner
    assert "QuickBooks needs you: 1" in banner.get_text()


def test_case_s15_check_now_finds_that_access_was_removed(at: Situation) -> None:
    at.connect()
    at.simulator.revoke(at.connection.realm_id)
    at.ana.open(SETTINGS).submit(press="Check now")
    assert "QuickBooks no longer lets us in. Reconnect to continue." in at.ana.text
    assert "Reconnect" in at.ana.text


def test_case_s15_opening_the_settings_often_asks_once(at: Situation) -> None:
    at.connect()
    at.ana.open(SETTINGS)
    for _ in range(3):
        at.ana.client.post(
            f"{SETTINGS}/check",
            data={"csrf_token": at.ana.token()},
            headers={"HX-Request": "true"},
        )
    assert at.calls() == [f"GET {at.connection.realm_id}", "GET preferences"]
    assert not at.ana.open(SETTINGS).page.select("form[hx-post]")


def test_every_page_says_the_same_time_of_the_last_check(at: Situation) -> None:
    at.connect()
    at.session.execute(
        text(
            "UPDATE quickbooks_connections SET facts_read_at = now() - interval '3 days',"
            " checked_at = now() - interval '2 days'"
        )
    )
    at.session.commit()
    checked = _times(at.ana.open(SETTINGS))
    assert len(checked) == 1
    assert checked == _times(at.ana.open(f"{SETTINGS}/check"), ".card > p.small-text")
    token = {"csrf_token": at.ana.open(SETTINGS).token()}
    told = at.ana.client.post(f"{SETTINGS}/check", data=token, headers={"HX-Request": "true"})
    assert 'hx-swap-oob="true"' in told.text
    [now] = _times(at.ana.open(SETTINGS))
    assert now not in checked
    assert now in told.text


def _times(visitor: Visitor, where: str = "#checked") -> list[str]:
    return [str(one["datetime"]) for one in visitor.page.select(f"{where} time")]


def test_case_s15_checking_by_hand_is_bounded(at: Situation) -> None:
    at.connect()
    for _ in range(21):
        at.ana.open(SETTINGS).submit(press="Check now")
    assert "You've checked too often just now. Try again in an hour." in at.ana.text
    assert len(at.calls()) == 40


# --- The settings check ---------------------------------------------------------------------------


def test_a_refusal_that_contradicts_what_was_read_has_it_read_again(at: Situation) -> None:
    at.connect()
    assert "The books are open for every date." in at.ana.open(f"{SETTINGS}/check").text
    at.simulator.company(at.connection.realm_id, BookCloseDate="2099-12-31")
    at.save_invoice(at.save_lead())
    at.drain()
    assert at.fault() in checking.CONTRADICTIONS
    at.calls()
    assert checking.check_contradicted(at.sessions, at.config) == 1
    assert "The books are closed through Dec 31, 2099" in at.ana.open(f"{SETTINGS}/check").text
    assert ", read " in at.ana.text
    assert checking.check_contradicted(at.sessions, at.config) == 0
    assert len(at.calls()) == 2


def test_settings_that_were_never_read_are_said_to_be_unread(at: Situation) -> None:
    at.connect()
    at.session.execute(
        text("UPDATE quickbooks_connections SET facts_read_at = NULL, checked_at = NULL")
    )
    at.session.commit()
    assert "read not yet" in at.ana.open(f"{SETTINGS}/check").text


def test_the_settings_are_read_again_by_hand(at: Situation) -> None:
    at.connect()
    at.simulator.company(at.connection.realm_id, BookCloseDate="2020-12-31")
    at.ana.open(f"{SETTINGS}/check").submit(press="Read again")
    assert at.ana.path == f"{SETTINGS}/check"
    assert "The books are closed through Dec 31, 2020" in at.ana.text


def test_a_check_keeps_the_lists_that_were_read_at_connect(at: Situation) -> None:
    at.connect()
    before = dict(at.connection.facts)
    assert checking.check(at.sessions, at.config, at.connection.id) is checking.Checked.ANSWERS
    assert at.connection.facts == before
    assert facts.FACTS_LAST


# --- Words for an owner ---------------------------------------------------------------------------


def test_how_long_records_take_is_said_as_one_would_say_it(at: Situation) -> None:
    at.connect()
    at.save_lead()
    at.drain()
    at.ana.open(SETTINGS)
    assert "Usually arrives in" in at.ana.text
    assert "95 %" not in at.ana.text
    assert "95 %" not in at.ana.open(f"{SETTINGS}/matches").text


def test_whoever_may_not_choose_reads_how_records_arrive(at: Situation, tom: Visitor) -> None:
    at.connect()
    tom.open(f"{SETTINGS}/arrivals")
    assert "Sales go to" in tom.text
    assert not tom.page.select("main select")
