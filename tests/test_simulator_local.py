"""The simulator without a server: driven by a clock and a seed, with a bookkeeper at work."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulator.documents import number_of, part_of, parts_of, ref_of, text_of
from simulator.local import AnswerLost, LocalCompany, Reply, json_of
from simulator.refusals import Refusal
from tests.support.local import START, Time, balance, customer, form, invoice, payment


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def company(time: Time) -> LocalCompany:
    return LocalCompany(time, seed=7)


def day(company: LocalCompany, time: Time) -> list[Reply | str]:
    """Many kinds of calls and trouble, one after the other."""
    company.fault(match={"entity": "Payment", "nth": 1}, do={"reset": "after"})
    company.fault(match={"operation": "query", "nth": 1}, do={"truncate": 9})
    told: list[Reply | str] = []
    calls: list[tuple[str, str, dict[str, object], object]] = [
        ("POST", "customer", {"requestid": "a"}, {"DisplayName": "Ana"}),
        ("POST", "invoice", {"requestid": "b"}, form("1", 120)),
        ("POST", "payment", {"requestid": "c"}, {"CustomerRef": {"value": "1"}, "TotalAmt": 5}),
        ("GET", "query", {"query": "select * from Payment"}, None),
        ("POST", "/oauth2/v1/tokens/bearer", {}, None),
        ("GET", "invoice/1", {}, None),
    ]
    for method, path, query, body in calls:
        time.now += 1.5
        try:
            told.append(company.handle(method, path, query, body))
        except AnswerLost as lost:
            told.append(f"{lost.how} {lost.part!r}")
    told.append(repr(company.connect()))
    return told


def test_the_same_seed_clock_and_calls_give_the_same_bytes() -> None:
    days = [day(LocalCompany(time, seed=3), time) for time in (Time(), Time())]
    other = Time()

    assert days[0] == days[1]
    assert days[0] != day(LocalCompany(other, seed=4), other)


def test_two_companies_share_nothing(time: Time) -> None:
    one, two = LocalCompany(time, seed=1), LocalCompany(time, seed=1)
    one.fault(do={"status": 503})
    one.set(CustomTxnNumbers=True)

    assert one.handle("POST", "customer", {"requestid": "a"}, {"DisplayName": "A"}).status == 503
    assert two.handle("POST", "customer", {"requestid": "a"}, {"DisplayName": "A"}).status == 200
    assert two.switches["CustomTxnNumbers"] is True  # as this realm begins
    assert one.all("Customer") == []


def test_time_is_what_the_clock_says(company: LocalCompany, time: Time) -> None:
    customer_id = customer(company)
    time.now += 86400
    invoice_id = invoice(company, customer_id)

    created = part_of(company.get("Invoice", invoice_id) or {}, "MetaData")["CreateTime"]
    assert created == "2026-09-22T07:13:20-07:00"
    assert [entry.arrived_at for entry in company.journal] == [START, START + 86400]


@pytest.mark.parametrize("how", ["reset", "timeout"])
@pytest.mark.parametrize(("when", "done"), [("before", 0), ("after", 1)])
def test_a_lost_answer_says_how_and_the_books_say_whether(
    company: LocalCompany, how: str, when: str, done: int
) -> None:
    company.fault(match={"operation": "create"}, do={how: when})
    with pytest.raises(AnswerLost) as lost:
        customer(company)

    assert lost.value.how == how
    assert len(company.all("Customer")) == done


def test_a_delay_is_told_to_whoever_sleeps(time: Time) -> None:
    def sleep(seconds: float) -> None:
        time.now += seconds

    company = LocalCompany(time, sleep=sleep, latency=2.0)
    company.fault(match={"entity": "Customer"}, do={"delay": 3, "delay_after": 40})
    customer(company)

    assert time.now == START + 45
    created = part_of(company.all("Customer")[0], "MetaData")["CreateTime"]
    assert created == "2026-09-21T07:13:25-07:00"  # when the work was done: before the last delay


def test_a_second_request_under_the_same_id_waits_for_the_first(time: Time) -> None:
    company = LocalCompany(time, latency=1.0)
    ask = ("POST", "customer", {"requestid": "a"}, {"DisplayName": "Ana"})
    first, second = company.begin(*ask), company.begin(*ask)

    assert not first.go()
    assert first.seconds == 1.0
    assert not second.go()
    assert second.seconds == 0.0
    assert not second.go()
    assert company.all("Customer") == []
    assert first.go()
    assert second.go()
    assert first.answer().body == second.answer().body
    assert len(company.all("Customer")) == 1


def test_a_dropped_request_frees_its_id(time: Time) -> None:
    company = LocalCompany(time, latency=1.0)
    ask = ("POST", "customer", {"requestid": "a"}, {"DisplayName": "Ana"})
    first, second = company.begin(*ask), company.begin(*ask)
    first.go()
    second.go()
    first.abandon()

    while not second.go():
        pass
    assert second.answer().status == 200
    assert len(company.all("Customer")) == 1


def test_a_copy_goes_its_own_way(company: LocalCompany) -> None:
    customer_id = customer(company)
    company.handle("POST", "invoice", {"requestid": "i"}, form(customer_id))
    other = company.copy()
    customer(other, "Ben Ode")
    again = other.handle("POST", "invoice", {"requestid": "i"}, form(customer_id))

    assert [text_of(each, "DisplayName") for each in company.all("Customer")] == ["Ana Rivera"]
    assert len(other.all("Customer")) == 2
    assert again.status == 200
    assert len(other.all("Invoice")) == 1


def test_a_revoked_company_answers_401_until_it_is_connected_again(company: LocalCompany) -> None:
    company.revoke()
    assert company.handle("GET", "preferences").status == 401
    company.connect()
    assert company.handle("GET", "preferences").status == 200


def test_an_answer_on_demand_has_a_status_and_a_body(company: LocalCompany) -> None:
    company.fault(match={"times": 1}, do={"status": 503})
    status, headers, body = company.handle("GET", "preferences")

    assert (status, headers["Content-Type"]) == (503, "text/html")
    assert b"503 Service Unavailable" in body


# The bookkeeper --------------------------------------------------------------------------------


def test_an_edit_makes_a_new_version(company: LocalCompany) -> None:
    customer_id = customer(company)
    company.bookkeeper.edit("Customer", customer_id, Notes="VIP")
    company.bookkeeper.edit("Customer", customer_id)
    found = company.get("Customer", customer_id) or {}

    assert (found["Notes"], found["SyncToken"]) == ("VIP", "2")


def test_a_paid_invoice_is_moved_and_its_payment_stays_as_credit(company: LocalCompany) -> None:
    ana, ben = customer(company), customer(company, "Ben Ode")
    invoice_id = invoice(company, ana)
    payment_id = payment(company, ana, 60, invoice_id)
    company.bookkeeper.move("Invoice", invoice_id, ben)

    moved = company.get("Invoice", invoice_id) or {}
    assert (ref_of(moved, "CustomerRef"), number_of(moved, "Balance")) == (ben, Decimal(100))
    assert number_of(company.get("Payment", payment_id) or {}, "UnappliedAmt") == 60
    owed = [number_of(each, "Balance") for each in company.all("Customer")]
    assert owed == [-60, 100]


def test_money_is_applied_and_taken_off_again(company: LocalCompany) -> None:
    ana = customer(company)
    invoice_id, payment_id = invoice(company, ana), payment(company, ana, 40)

    company.bookkeeper.apply(payment_id, invoice_id)
    assert balance(company, invoice_id) == 60
    company.bookkeeper.unapply(payment_id, invoice_id)
    assert balance(company, invoice_id) == 100


def test_a_credit_memo_pays_an_invoice(company: LocalCompany) -> None:
    ana = customer(company)
    invoice_id = invoice(company, ana)
    made = company.handle("POST", "creditmemo", {}, form(ana, 30))
    credit_id = text_of(part_of(json_of(made), "CreditMemo"), "Id")
    company.bookkeeper.apply_credit(credit_id, invoice_id)

    assert balance(company, invoice_id) == 70
    assert number_of(company.get("CreditMemo", credit_id) or {}, "Balance") == 0


def test_a_void_and_a_delete_free_the_payments(company: LocalCompany) -> None:
    ana = customer(company)
    voided, deleted = invoice(company, ana), invoice(company, ana)
    one, two = payment(company, ana, 100, voided), payment(company, ana, 100, deleted)
    company.bookkeeper.void("Invoice", voided)
    company.bookkeeper.delete("Invoice", deleted)

    assert balance(company, voided) == 0
    assert company.get("Invoice", deleted) is None
    for payment_id in (one, two):
        assert number_of(company.get("Payment", payment_id) or {}, "UnappliedAmt") == 100


def test_an_inactive_customer_cannot_be_used_and_comes_back(company: LocalCompany) -> None:
    ana = customer(company)
    company.bookkeeper.deactivate("Customer", ana)
    refused = company.handle("POST", "invoice", {}, form(ana))
    company.bookkeeper.reactivate("Customer", ana)

    assert b'"2500"' in refused.body
    assert company.handle("POST", "invoice", {}, form(ana)).status == 200


@pytest.mark.parametrize(("how", "status"), [("inactive", 200), ("gone", 400)])
def test_a_merged_customer_hands_everything_over(
    company: LocalCompany, how: str, status: int
) -> None:
    company.set(merged_customers=how)
    ana, ben = customer(company), customer(company, "Ben Ode")
    invoice_id = invoice(company, ana)
    payment_id = payment(company, ana, 30, invoice_id)
    company.bookkeeper.merge_customers(ana, ben)

    assert ref_of(company.get("Invoice", invoice_id) or {}, "CustomerRef") == ben
    assert ref_of(company.get("Payment", payment_id) or {}, "CustomerRef") == ben
    assert number_of(company.get("Customer", ben) or {}, "Balance") == 70
    assert company.handle("GET", f"customer/{ana}").status == status
    unreadable = company.handle("POST", "invoice", {}, form(ana))
    assert unreadable.status == 400


def test_closed_books_refuse_what_is_dated_before(company: LocalCompany) -> None:
    ana = customer(company)
    invoice_id = invoice(company, ana)
    company.bookkeeper.close_books("2026-12-31")
    refused = company.handle("POST", "invoice", {}, form(ana))

    assert b'"6200"' in refused.body
    with pytest.raises(Refusal):
        company.bookkeeper.edit("Invoice", invoice_id, PrivateNote="late")
    company.bookkeeper.open_books()
    assert company.handle("POST", "invoice", {}, form(ana)).status == 200


def test_a_deposited_payment_is_fixed(company: LocalCompany) -> None:
    ana = customer(company)
    payment_id = payment(company, ana, 30)
    company.bookkeeper.deposit(payment_id)
    with pytest.raises(Refusal) as refused:
        company.bookkeeper.edit("Payment", payment_id, PrivateNote="x")

    assert refused.value.faults[0].code == "6540"


def test_an_edit_of_a_payment_keeps_what_it_pays(company: LocalCompany) -> None:
    ana = customer(company)
    invoice_id = invoice(company, ana)
    payment_id = payment(company, ana, 30, invoice_id)
    company.bookkeeper.edit("Payment", payment_id, PrivateNote="cash")
    links = parts_of(parts_of(company.get("Payment", payment_id) or {}, "Line")[0], "LinkedTxn")

    assert links == [{"TxnId": invoice_id, "TxnType": "Invoice"}]
    assert balance(company, invoice_id) == 70
