"""Where payments are deposited: owners choose, records follow, QuickBooks' settings are checked."""

from sqlalchemy import select

from models.accounts import AuditEvent, Role
from quickbooks import facts
from tests.support.situation import RIVERA, SETTINGS, Situation
from tests.support.visitor import Visitor, new_person

ARRIVALS = f"{SETTINGS}/arrivals"


def named(at: Situation, list_: str) -> dict[str, str]:
    return {row["name"]: row["id"] for row in at.connection.facts[list_]}


def test_an_owner_chooses_where_card_payments_go(at: Situation) -> None:
    at.connect()
    bank = next(
        id_ for name, id_ in named(at, "deposit_accounts").items() if "Undeposited" not in name
    )
    at.ana.open(SETTINGS)
    edit = at.ana.page.find("a", href=ARRIVALS)
    assert edit
    at.ana.open(ARRIVALS).submit({"card_deposits": bank})
    assert "Saved. From now on, records arrive this way." in at.ana.text
    invoice = at.save_invoice(at.save_lead())
    at.pay(invoice, "60", "card")
    at.pay(invoice, "40", "ach")
    at.drain()
    sent = {int(p["TotalAmt"]): p.get("DepositToAccountRef", {}) for p in at.books("Payment")}
    assert sent[60]["value"] == bank
    assert sent[40].get("value") != bank
    acts = at.session.scalars(select(AuditEvent.action)).all()
    assert "quickbooks.arrivals_changed" in acts


def test_a_missing_choice_is_cured_by_saving_it_and_all_it_stopped_is_sent(at: Situation) -> None:
    at.connect()
    item = at.connection.settings["fallback_item_id"]
    at.ana.open(ARRIVALS).submit({"fallback_item": ""})
    at.save_invoice(at.save_lead())
    at.save_invoice(at.save_lead("Second"))
    at.drain()
    assert [at.fault(-2), at.fault(-1)].count("no_fallback_item") >= 1
    at.ana.open(ARRIVALS).submit({"fallback_item": item})
    assert "sent again" in at.ana.text
    at.drain()
    assert len(at.books("Invoice")) == 2


def test_quickbooks_numbers_where_the_owner_wants_it(at: Situation) -> None:
    at.simulator.company(RIVERA, CustomTxnNumbers=True)
    at.connect()
    at.ana.open(ARRIVALS).submit({"numbers": "quickbooks"})
    assert "QuickBooks assigns its own" in at.ana.text
    invoice = at.save_invoice(at.save_lead())
    at.drain()
    link = at.link("invoice", invoice)
    assert link
    given = link.remote_number
    assert given
    at.ana.open(f"/invoices/{invoice}/edit").submit({"memo": "Thanks"}, press="Save invoice")
    at.drain()
    assert at.entry().state == "synced"
    again = at.link("invoice", invoice)
    assert again
    assert again.remote_number == given


def test_a_made_up_account_is_refused(at: Situation) -> None:
    at.connect()
    before = at.connection.settings
    at.ana.post(ARRIVALS, {"income_account": "4711", "numbers": "ours", "tax": "line"})
    assert at.ana.status == 422
    assert at.connection.settings == before


def test_members_and_unconnected_firms_have_nothing_to_choose(at: Situation) -> None:
    assert "Connect QuickBooks first" in at.ana.open(ARRIVALS).text
    at.connect()
    new_person(at.session, at.firm, "tom@rivera.example", Role.MEMBER)
    tom = Visitor(at.app).sign_in("tom@rivera.example").open(ARRIVALS)
    assert "Sales go to" in tom.text
    assert not tom.page.select("main select")


def test_settings_that_cause_trouble_are_named_with_the_place_to_change_them(
    at: Situation,
) -> None:
    at.simulator.company(
        RIVERA, AutoApplyCredit=True, BookCloseDate="2025-12-31", CustomTxnNumbers=False
    )
    at.connect()
    at.ana.open(f"{SETTINGS}/check")
    for words in (
        "“Automatically apply credits” is on",
        "The books are closed through Dec 31, 2025",
        "Custom transaction numbers are off",
        "gear icon, Account and settings, Advanced, Automation.",
    ):
        assert words in at.ana.text
    at.simulator.company(RIVERA, AutoApplyCredit=False, BookCloseDate=None, CustomTxnNumbers=True)
    assert facts.refresh(at.sessions, at.config, at.connection.id)
    at.ana.open(f"{SETTINGS}/check")
    assert "QuickBooks doesn't apply credits automatically." in at.ana.text
    assert "The books are open for every date." in at.ana.text


# --- S17: which payment method --------------------------------------------------------------------


def booked_methods(at: Situation) -> list[str]:
    names = {one["Id"]: one["Name"] for one in at.books("PaymentMethod")}
    booked = [(one.get("PaymentMethodRef") or {}).get("value") for one in at.books("Payment")]
    return [names.get(key, "") for key in booked]


def test_case_s17_no_card_payment_is_booked_as_a_brand_nobody_chose(at: Situation) -> None:
    at.connect()
    at.pay(at.save_invoice(at.save_lead(), "100"), "100", "card")
    at.drain()
    assert booked_methods(at) == [""]


def test_case_s17_a_neutral_method_is_taken_where_the_company_has_one(at: Situation) -> None:
    at.bookkeeper().post("paymentmethod", {"Name": "Credit Card", "Type": "CREDIT_CARD"})
    at.connect()
    at.pay(at.save_invoice(at.save_lead(), "100"), "100", "card")
    at.drain()
    assert booked_methods(at) == ["Credit Card"]
    assert "Undeposited Funds, as “Credit Card”" in member(at).open(ARRIVALS).text


def test_case_s17_the_owner_chooses_and_it_stays_chosen(at: Situation) -> None:
    at.connect()
    page = at.ana.open(ARRIVALS).page
    options = {one.get_text(): str(one["value"]) for one in page.select("#card_method option")}
    assert "MasterCard" in options
    at.ana.submit({"card_method": options["MasterCard"], "ach_method": ""}, press="Save")
    assert facts.refresh(at.sessions, at.config, at.connection.id)
    invoice = at.save_invoice(at.save_lead(), "100")
    at.pay(invoice, "60", "card")
    at.pay(invoice, "40", "ach")
    at.drain()
    assert booked_methods(at) == ["MasterCard", ""]


def test_case_s17_a_brand_we_chose_before_is_forgotten(at: Situation) -> None:
    at.connect()
    connection = at.connection
    visa = next(one for one in connection.facts["payment_methods"] if one["name"] == "Visa")
    connection.settings = {**connection.settings, "payment_methods": {"card": visa["id"]}}
    at.session.commit()
    assert facts.refresh(at.sessions, at.config, at.connection.id)
    assert at.connection.settings["payment_methods"]["card"] is None


def member(at: Situation) -> Visitor:
    new_person(at.session, at.firm, "mia@rivera.example", Role.MEMBER)
    return Visitor(at.app).sign_in("mia@rivera.example")
