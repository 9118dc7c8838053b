"""A button does what its page said, or the page is shown again with a sentence that says why."""

import pytest

from processors import recording
from processors.processor import AccountStanding
from tests.support.situation import ANA
from tests.support.till import Till
from tests.support.visitor import Visitor
from tests.test_refunds_online import there

# --- A refund -------------------------------------------------------------------------------------

CHECK_IT = "What was refunded of it has changed since you opened this page."


def end_access(till: Till) -> None:
    recording.end_account(till.session, till.account)
    till.session.commit()


def regain_access(till: Till) -> None:
    recording.note_standing(till.session, AccountStanding(till.account, True, True, True, True))
    till.session.commit()


def sums(till: Till) -> tuple[list[int], int, int]:
    """What went back at Stripe, in cents; what is left of the payment; what is open."""
    [left], open_ = till.sums()
    return there(till), int(left), int(open_)


def refund_page(till: Till) -> Visitor:
    return Visitor(till.app).sign_in(ANA).open(f"/payments/{till.payments[0].id}/refund")


def test_what_was_to_be_recorded_by_hand_does_not_go_back_through_stripe(till: Till) -> None:
    till.pay()
    end_access(till)
    page = refund_page(till)
    assert "Record a refund or return" in page.text
    regain_access(till)
    page.submit({"amount": "30"}, press="Record refund")
    assert "Stripe is connected again since you opened this page" in page.text
    assert "Refund through Stripe" in page.text
    assert sums(till) == ([], 100, 0)
    page.submit({"amount": "30"}, press="Refund it")  # now they know
    assert sums(till) == ([3000], 70, 30)


def test_what_was_to_go_back_through_stripe_is_not_recorded_by_hand(till: Till) -> None:
    till.pay()
    page = refund_page(till)
    assert "Refund through Stripe" in page.text
    end_access(till)
    page.submit({"amount": "30"}, press="Refund it")
    assert "Stripe was disconnected since you opened this page" in page.text
    assert sums(till) == ([], 100, 0)
    page.submit({"amount": "30"}, press="Record refund")
    assert "The refund is recorded." in page.text
    assert sums(till) == ([], 70, 30)


@pytest.mark.parametrize("by_hand", [False, True])
def test_two_people_with_one_page_each_refund_once(till: Till, by_hand: bool) -> None:
    till.pay()
    if by_hand:
        end_access(till)
    button = "Record refund" if by_hand else "Refund it"
    first, second = refund_page(till), refund_page(till)
    first.submit({"amount": "30"}, press=button)
    second.submit({"amount": "30"}, press=button)
    assert CHECK_IT in second.text
    assert sums(till) == ([] if by_hand else [3000], 70, 30)
    second.submit({"amount": "20"}, press=button)  # it was other money
    assert sums(till)[1:] == (50, 50)
