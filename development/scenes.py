"""Every page in every state, and how to reach it, for pictures and tests.

Paths name records by their keys in the showcase. Scenes share one database, so they must not change
it: an act ends before the button that saves. The one exception is a payment that no other scene
shows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Literal

from bs4 import BeautifulSoup
from playwright.sync_api import Browser, FormData, Page, StorageState, ViewportSize

from development.showcase import Showcase
from models.passwords import DEMO_PASSWORD

WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}
Theme = Literal["light", "dark"]

Act = Callable[[Page], object]

EMAILS = {
    "ana": "ana@rivera.example",  # owner of the main firm
    "paula": "paula@rivera.example",  # another owner there, who reads Portuguese
    "tom": "tom@rivera.example",  # their colleague
    "nina": "nina@nova.example",  # has nothing yet, not even QuickBooks
    "hugo": "hugo@hill.example",  # just connected
    "dora": "dora@delta.example",  # her sign-in has expired
    "bea": "bea@bay.example",  # disconnected while records waited
    "pia": "pia@pine.example",  # reconnected, and has to decide about those records
    "ceda": "ceda@cedar.example",  # her QuickBooks plan has lapsed
    "eva": "eva@echo.example",  # QuickBooks is down
    "finn": "finn@fox.example",  # the sign-in ends within days
    "gina": "gina@gable.example",  # connected, and her customers in QuickBooks are still being read
    "ivan": "ivan@iron.example",  # lost access to his company
    "jana": "jana@jade.example",  # emptied her company and set it up again
    "kim": "kim@kite.example",  # connected, but for hours the customers could not be read
    "lia": "lia@buckeye.example",  # chose a company, and must confirm that it is hers
    "bruno": "bruno@silva.example",  # in Brazil
    "dana": "admin@dunahub.example",  # DunaHub's staff
    "": "",  # not signed in
}


@dataclass(frozen=True)
class Scene:
    name: str
    who: str
    path: str
    act: Act | None = None
    status: int = 200  # of the page; an act may lead to another one


def press(button: str) -> Act:
    return lambda page: page.get_by_role("main").get_by_role("button", name=button).first.click()


def open_details(page: Page) -> None:
    for summary in page.locator("main summary").all():
        summary.click()


def show_tables(page: Page) -> None:
    """Opens the charts' tables."""
    for button in page.locator("[data-turns-chart]").all():
        button.click()


def to_intuit(company: str) -> Act:
    """Connects, and chooses a company that we will refuse."""

    def act(page: Page) -> None:
        page.get_by_role("main").get_by_role("button", name="onnect").first.click()
        page.locator("label.choice", has_text=company).click()
        page.get_by_role("button", name="Connect", exact=True).click()

    return act


def make_link(page: Page) -> None:
    page.get_by_label("Who it's for").fill("Dana at Miller CPA")
    press("Create the link")(page)


def open_books(page: Page) -> None:
    """What the accountant sees with a new link."""
    make_link(page)
    page.goto(page.locator("main code").inner_text())


def choose_all(button: str) -> Act:
    def act(page: Page) -> None:
        page.get_by_label("Select all rows").check()
        page.get_by_role("button", name=button, exact=True).click()

    return act


def move_to_brazil(page: Page) -> None:
    """Up to the page that asks for confirmation."""
    page.get_by_label("Region").select_option("BR")
    page.get_by_label("Reason").fill("They moved.")
    press("Change region")(page)


def empty_and(button: str) -> Act:
    """Submits an empty form."""

    def act(page: Page) -> None:
        for field in (
            page.locator("main form[method=post]")
            .first.locator("input:visible:not([type=checkbox], [type=radio]), textarea:visible")
            .all()
        ):
            field.fill("")
        press(button)(page)

    return act


def wrong_lines(page: Page) -> None:
    page.get_by_label("Product, or what you did").first.fill("Leak repair")
    page.get_by_label("Quantity").first.fill("many")
    page.get_by_label("Price").first.fill("1,000.00001")
    press("Save invoice")(page)


def give_a_discount(page: Page) -> None:
    page.get_by_label("Product, or what you did").first.fill("Leak repair")
    page.get_by_label("Price").first.fill("389")
    page.locator(".discount summary").click()
    page.get_by_label("Discount", exact=True).fill("5")


def search_a_product(page: Page) -> None:
    page.get_by_label("Product, or what you did").first.press_sequentially("p")
    page.get_by_role("listbox").wait_for()


def open_menu(page: Page) -> None:
    """On a phone; on wide screens the menu is always visible."""
    if page.locator(".phone-menu").is_visible():
        page.locator(".phone-menu > summary").click()


def pay_too_much(page: Page) -> None:
    page.get_by_label("Amount").fill("10,000")
    page.get_by_label("Check", exact=True).check()
    press("Record payment")(page)


def pay_back_a_cent(page: Page) -> None:
    """Refunds a cent of a payment that no other scene shows, with
    enough cents for every picture."""
    page.get_by_label("Refunded or returned").fill("0.01")
    press("Record refund")(page)


def sign_in_wrongly(page: Page) -> None:
    page.get_by_label("E-mail").fill("ana@rivera.example")
    page.get_by_label("Password").fill("not this one")
    press("Sign in")(page)


def sign_in_too_often(page: Page) -> None:
    # separate address, so that others are not rate-limited
    elsewhere = {"X-Forwarded-For": "192.0.2.250"}
    page.set_extra_http_headers(elsewhere)
    token = page.locator("main [name=csrf_token]").input_value()
    for _ in range(20):
        page.request.post(page.url, form={"csrf_token": token}, headers=elsewhere)
    press("Sign in")(page)


def lose_the_cookie(page: Page) -> None:
    page.context.clear_cookies()
    press("Sign in")(page)


SCENES = (
    # --- Signed out, and what went wrong
    Scene("sign-in", "", "/sign-in"),
    Scene("sign-in-wrong", "", "/sign-in", sign_in_wrongly),
    Scene("sign-up", "", "/sign-up"),
    Scene("sign-up-wrong", "", "/sign-up", press("Sign up")),
    Scene("join", "", "/invitations/{invitation}"),
    Scene("join-wrong", "", "/invitations/{invitation}", press("Join")),
    Scene("stale-form", "", "/sign-in", lose_the_cookie),
    Scene("not-found", "", "/invitations/nobodys", status=404),
    Scene("not-found-here", "ana", "/leads/999999", status=404),
    Scene("not-allowed", "tom", "/settings/record", status=403),
    Scene("not-that-way", "ana", "/settings/quickbooks/failed/requeue", status=405),
    Scene("failed", "ana", "/broken", status=500),
    # --- Account and settings
    Scene("account", "ana", "/account"),
    Scene("forgotten", "", "/forgotten"),
    Scene("second-factor", "ana", "/account/second-factor"),
    Scene("second-factor-new", "nina", "/account/second-factor/new"),
    Scene("account-wrong", "ana", "/account", press("Change password")),
    Scene("confirm", "ana", "/confirm"),
    Scene("organization", "ana", "/settings/organization"),
    Scene("organization-wrong", "ana", "/settings/organization", empty_and("Save")),
    Scene("organization-of-a-member", "tom", "/settings/organization"),
    Scene("organization-in-brazil", "bruno", "/settings/organization"),
    Scene("letterhead", "ana", "/settings/letterhead"),
    Scene("letterhead-of-a-member", "tom", "/settings/letterhead"),
    Scene("people", "ana", "/settings/people"),
    Scene("people-wrong", "ana", "/settings/people", press("Invite")),
    Scene("people-of-a-member", "tom", "/settings/people"),
    Scene("accountant", "ana", "/settings/quickbooks/accountant", make_link),
    Scene("accountant-reads", "ana", "/settings/quickbooks/accountant", open_books),
    Scene("person", "ana", "/settings/people/{colleague}"),
    Scene("record", "ana", "/settings/record"),
    # --- Home
    Scene("home", "ana", "/"),
    Scene("home-of-nobody", "nina", "/"),
    Scene("home-in-brazil", "bruno", "/"),
    # --- Leads
    Scene("leads", "ana", "/leads"),
    Scene("leads-of-nobody", "nina", "/leads"),
    Scene("leads-none-fits", "ana", "/leads?q=zzz"),
    Scene("leads-in-brazil", "bruno", "/leads"),
    Scene("import", "ana", "/leads/imports/new"),
    Scene("import-preview", "hugo", "/leads/imports/new", press("Review them")),
    Scene("lead-new", "ana", "/leads/new"),
    Scene("lead-new-wrong", "ana", "/leads/new", press("Save lead")),
    Scene("lead", "ana", "/leads/{lead}"),
    Scene("lead-in-detail", "ana", "/leads/{lead}", open_details),
    Scene("lead-edit", "ana", "/leads/{lead}/edit"),
    Scene("lead-delete", "ana", "/leads/{lead}/delete"),
    Scene("lead-waiting", "ana", "/leads/{saved}"),
    Scene("lead-sending", "ana", "/leads/{calling}"),
    Scene("lead-again-later", "ana", "/leads/{later}"),
    Scene("lead-name-taken-by-vendor", "ana", "/leads/{vendor}"),
    Scene("lead-name-taken-by-vendor-in-detail", "ana", "/leads/{vendor}", open_details),
    Scene("lead-name-taken-for-a-member", "tom", "/leads/{vendor}"),
    Scene("lead-name-fix", "ana", "/leads/{vendor}/edit?fix=name"),
    Scene("lead-name-taken-by-customer", "ana", "/leads/{holder}"),
    Scene("lead-several-customers", "ana", "/leads/{several}"),
    Scene("lead-not-sent", "ana", "/leads/{gap_lead}"),
    Scene("lead-until-customers-are-read", "gina", "/leads/{gable_lead}"),
    # --- Products, jobs, proposals
    Scene("products", "ana", "/products"),
    Scene("products-of-nobody", "nina", "/products"),
    Scene("product-new-wrong", "ana", "/products/new", press("Save")),
    Scene("product-edit", "ana", "/products/{product}/edit"),
    Scene("jobs", "ana", "/jobs"),
    Scene("jobs-of-nobody", "nina", "/jobs"),
    Scene("job-choose-lead", "ana", "/jobs/new"),
    Scene("job-new", "ana", "/jobs/new?lead={lead}"),
    Scene("job", "ana", "/jobs/{job}"),
    Scene("job-edit", "ana", "/jobs/{job}/edit"),
    Scene("proposals", "ana", "/proposals"),
    Scene("proposals-of-nobody", "nina", "/proposals"),
    Scene("proposal-new", "ana", "/proposals/new?lead={lead}"),
    Scene("proposal", "ana", "/proposals/{proposal}"),
    Scene("proposal-print", "ana", "/proposals/{proposal}/print"),
    Scene("proposal-edit", "ana", "/proposals/{proposal}/edit"),
    # --- What a firm's clients see, and what the firm does for it
    Scene("client-due", "", "/i/{client_due}"),
    Scene("client-on-its-way", "", "/i/{client_on_its_way}"),
    Scene("client-paid", "", "/i/{client_paid}"),
    Scene("client-void", "", "/i/{client_void}"),
    Scene("client-overdue", "", "/i/{client_late}"),
    Scene("client-part-paid", "", "/i/{client_part_paid}"),
    Scene("client-transfer-failed", "", "/i/{client_failed}"),
    Scene("client-paid-back", "", "/i/{client_back}"),
    Scene("client-due-in-portuguese", "", "/i/{client_late}?language=pt_BR"),
    Scene("client-link-revoked", "", "/i/{client_hidden}", status=410),
    Scene("client-asks-how-to-pay", "", "/i/{client_asks}"),
    Scene("client-proposal", "", "/i/{client_proposal}"),
    Scene("client-send-unconfigured", "ana", "/invoices/{waiting}/send"),
    Scene("online-payments", "ana", "/settings/payments"),
    Scene("online-payments-of-nobody", "nina", "/settings/payments"),
    Scene("online-payments-not-ready", "lia", "/settings/payments"),
    Scene("online-payments-left", "kim", "/settings/payments"),
    Scene("payment-online", "ana", "/payments/{gap_payment}"),
    Scene("payment-online-refund", "ana", "/payments/{gap_payment}/refund"),
    # --- Invoices
    Scene("invoices", "ana", "/invoices"),
    Scene("invoices-open", "ana", "/invoices?state=open"),
    Scene("invoices-of-nobody", "nina", "/invoices"),
    Scene("invoices-in-brazil", "bruno", "/invoices"),
    Scene("invoice-choose-lead", "ana", "/invoices/new"),
    Scene("invoice-new-from-lead", "ana", "/invoices/new?lead={lead}"),
    Scene("invoice-new-search", "ana", "/invoices/new?lead={lead}", search_a_product),
    Scene("invoice-new-discount", "ana", "/invoices/new?lead={lead}", give_a_discount),
    Scene("invoice-drafts", "ana", "/invoices/drafts"),
    Scene("invoice-draft", "ana", "/invoices/drafts/{draft}"),
    Scene("pt-invoice-drafts", "paula", "/invoices/drafts"),
    Scene("pt-invoice-draft", "paula", "/invoices/drafts/{draft}"),
    Scene("invoices-menu", "ana", "/invoices?state=overdue", open_menu),
    Scene("invoice-new-from-job", "ana", "/invoices/new?job={job}"),
    Scene("invoice-new-from-proposal", "ana", "/invoices/new?proposal={proposal}"),
    Scene("invoice-new-wrong", "ana", "/invoices/new?lead={lead}", wrong_lines),
    Scene("invoice", "ana", "/invoices/{invoice}"),
    Scene("invoice-in-detail", "ana", "/invoices/{invoice}", open_details),
    Scene("invoice-edit", "ana", "/invoices/{invoice}/edit"),
    Scene("invoice-void", "ana", "/invoices/{invoice}/void"),
    Scene("invoice-print", "ana", "/invoices/{invoice}/print"),
    Scene("invoice-changed", "ana", "/invoices/{changed_invoice}", open_details),
    Scene("invoice-voided", "ana", "/invoices/{voided_invoice}"),
    Scene("invoice-voided-print", "ana", "/invoices/{voided_invoice}/print"),
    Scene("invoice-nothing-to-send", "ana", "/invoices/{never_sent_invoice}"),
    Scene("invoice-total-differs", "ana", "/invoices/{differing_invoice}"),
    Scene("invoice-edited-on-both-sides", "ana", "/invoices/{edited_invoice}"),
    Scene("payment-off-its-invoice", "ana", "/payments/{loose_payment}"),
    Scene("invoice-waits", "ana", "/invoices/{waiting}"),
    Scene("invoice-number-taken", "ana", "/invoices/{taken}"),
    Scene("invoice-item-gone", "ana", "/invoices/{stopped}"),
    Scene("invoice-without-lines", "ana", "/invoices/{empty}"),
    Scene("invoice-lines-fix", "ana", "/invoices/{empty}/edit?fix=lines"),
    Scene("invoice-books-closed", "ana", "/invoices/{closed}"),
    Scene("invoice-skipped", "ana", "/invoices/{skipped}"),
    Scene("invoice-not-sent", "ana", "/invoices/{gap_invoice}"),
    Scene("invoice-on-hold", "bea", "/invoices/{bay_waiting}"),
    Scene("invoice-on-hold-access-lost", "ivan", "/invoices/{iron_invoice}"),
    Scene("invoice-on-hold-company-reset", "jana", "/invoices/{jade_invoice}"),
    Scene("invoice-behind-the-line", "pia", "/invoices/{pine_waiting}"),
    # --- Payments
    Scene("payments", "ana", "/payments"),
    Scene("payments-of-nobody", "nina", "/payments"),
    Scene("payment-new", "ana", "/invoices/{open_invoice}/payments/new"),
    Scene("payment-new-wrong", "ana", "/invoices/{open_invoice}/payments/new", empty_and("Record")),
    Scene("payment-new-too-much", "ana", "/invoices/{open_invoice}/payments/new", pay_too_much),
    Scene("payment", "ana", "/payments/{payment}"),
    Scene("payment-refund", "ana", "/payments/{payment}/refund"),
    Scene("payment-refunded", "finn", "/payments/{fox_payment}/refund", pay_back_a_cent),
    Scene("payment-waits", "ana", "/payments/{waits}"),
    Scene("payment-with-refund", "ana", "/payments/{refund_payment}"),
    Scene("refund", "ana", "/refunds/{refund}"),
    Scene("payment-reversed", "ana", "/payments/{reversed}"),
    Scene("payment-not-sent", "ana", "/payments/{gap_payment}"),
    Scene("payment-left-behind", "ana", "/payments/{alone_payment}"),
    # --- Settings → QuickBooks
    Scene("quickbooks", "ana", "/settings/quickbooks"),
    Scene("quickbooks-check", "ana", "/settings/quickbooks/check"),
    Scene("quickbooks-of-a-member", "tom", "/settings/quickbooks"),
    Scene("quickbooks-never-connected", "nina", "/settings/quickbooks"),
    Scene("quickbooks-just-connected", "hugo", "/settings/quickbooks"),
    Scene("quickbooks-reading-customers", "gina", "/settings/quickbooks"),
    Scene("quickbooks-customers-unread", "kim", "/settings/quickbooks"),
    Scene("quickbooks-expired", "dora", "/settings/quickbooks"),
    Scene("quickbooks-access-lost", "ivan", "/settings/quickbooks"),
    Scene("quickbooks-company-reset", "jana", "/settings/quickbooks"),
    Scene("quickbooks-disconnected", "bea", "/settings/quickbooks"),
    Scene("quickbooks-waiting-behind-the-line", "pia", "/settings/quickbooks"),
    Scene("quickbooks-plan-lapsed", "ceda", "/settings/quickbooks"),
    Scene("quickbooks-outage", "eva", "/settings/quickbooks"),
    Scene("quickbooks-sign-in-ends", "finn", "/settings/quickbooks"),
    Scene("disconnect", "ana", "/settings/quickbooks/connection/disconnect"),
    Scene("disconnect-nothing-waits", "hugo", "/settings/quickbooks/connection/disconnect"),
    Scene("disconnect-sending", "eva", "/settings/quickbooks/connection/disconnect"),
    Scene("callback-bad-state", "hugo", "/settings/quickbooks/callback?state=x&code=y", status=400),
    Scene("company-to-confirm", "lia", "/settings/quickbooks", to_intuit("Craig")),
    Scene("test-drive", "ana", "/settings/quickbooks/test-drive"),
    Scene("callback-company-taken", "nina", "/settings/quickbooks", to_intuit("Hill Electric")),
    Scene("callback-company-unsuitable", "nina", "/settings/quickbooks", to_intuit("Érable")),
    Scene("callback-other-company", "dora", "/settings/quickbooks", to_intuit("Oak HVAC Inc")),
    Scene("arrivals", "ana", "/settings/quickbooks/arrivals"),
    Scene("arrivals-of-a-member", "tom", "/settings/quickbooks/arrivals"),
    Scene("activity", "ana", "/settings/quickbooks/activity"),
    Scene("activity-failed", "ana", "/settings/quickbooks/activity?state=failed"),
    Scene("activity-none-fits", "ana", "/settings/quickbooks/activity?q=zzz"),
    Scene("activity-of-nobody", "hugo", "/settings/quickbooks/activity"),
    Scene("matches", "ana", "/settings/quickbooks/matches"),
    Scene("matches-as-tables", "ana", "/settings/quickbooks/matches", show_tables),
    Scene("match", "ana", "/settings/quickbooks/matches/{month}"),
    Scene("match-print", "ana", "/settings/quickbooks/matches/{month}/print"),
    Scene("match-of-a-month-not-asked", "ana", "/settings/quickbooks/matches/2026-01"),
    Scene("match-running", "hugo", "/settings/quickbooks/matches/{month}"),
    Scene("not-sent", "ana", "/settings/quickbooks/not-sent"),
    Scene("send-all", "ana", "/quickbooks/send/all/invoice"),
    Scene("not-sent-payments", "ana", "/settings/quickbooks/not-sent?type=payment"),
    Scene("not-sent-nothing", "hugo", "/settings/quickbooks/not-sent"),
    Scene("send-by-hand", "ana", "/quickbooks/send/invoices/{gap_invoice}"),
    Scene("send-payment", "ana", "/quickbooks/send/payments/{alone_payment}"),
    Scene("fix-item", "ana", "/quickbooks/fixes/{stopped_entry}/other_item"),
    Scene("fix-customer", "ana", "/quickbooks/fixes/{several_entry}/choose_customer"),
    Scene("fix-books-closed", "ana", "/quickbooks/fixes/{closed_entry}/accountant_note"),
    # --- DunaHub's staff
    Scene("admin-outbox", "dana", "/admin/outbox"),
    Scene("admin-outbox-all", "dana", "/admin/outbox?state="),
    Scene("admin-outbox-none-fits", "dana", "/admin/outbox?q=zzz"),
    Scene("admin-figures", "dana", "/admin/outbox/figures"),
    Scene("admin-entry", "dana", "/admin/outbox/{sent_entry}", open_details),
    Scene("admin-entry-failed", "dana", "/admin/outbox/{vendor_entry}", open_details),
    Scene("admin-entry-waits", "dana", "/admin/outbox/{waits_entry}"),
    Scene("admin-requeue", "dana", "/admin/outbox", choose_all("Requeue…")),
    Scene("admin-skip", "dana", "/admin/outbox?state=failed", choose_all("Skip…")),
    Scene("admin-bulk", "dana", "/admin/outbox/acts/{bulk}"),
    Scene("admin-organizations", "dana", "/admin/organizations"),
    Scene("admin-organization", "dana", "/admin/organizations/1"),
    Scene("admin-region", "dana", "/admin/organizations/1", move_to_brazil),
    Scene("admin-audit", "dana", "/admin/audit"),
    # --- In Portuguese: words are longer
    Scene("pt-account", "paula", "/account"),
    Scene("pt-leads", "paula", "/leads"),
    Scene("pt-lead-name-taken", "paula", "/leads/{vendor}", open_details),
    Scene("pt-invoices", "paula", "/invoices"),
    Scene("pt-invoice", "paula", "/invoices/{invoice}"),
    Scene("pt-invoice-waits", "paula", "/invoices/{waiting}"),
    Scene("pt-invoice-new", "paula", "/invoices/new?lead={lead}"),
    Scene("pt-quickbooks", "paula", "/settings/quickbooks"),
    Scene("pt-disconnect", "paula", "/settings/quickbooks/connection/disconnect"),
    Scene("pt-match", "paula", "/settings/quickbooks/matches/{month}"),
    Scene("pt-activity", "paula", "/settings/quickbooks/activity"),
    Scene("too-many-sign-ins", "", "/sign-in", sign_in_too_often),
)


_visitors = count(1)


class Stage:
    """Opens scenes in a browser; every person signs in once."""

    def __init__(self, browser: Browser, showcase: Showcase) -> None:
        self._browser, self._showcase = browser, showcase
        self._signed_in: dict[str, StorageState] = {}

    def scene(self, name: str) -> Scene:
        return next(scene for scene in SCENES if scene.name == name)

    @contextmanager
    def page_for(
        self, who: str, viewport: ViewportSize = WIDE, theme: Theme = "light"
    ) -> Iterator[Page]:
        """A page in a separate browser context, with an empty cache."""
        context = self._browser.new_context(
            base_url=self._showcase.url,
            viewport=viewport,
            color_scheme=theme,
            has_touch=viewport == NARROW,
            storage_state=self._state_of(who) if who else None,
        )
        try:
            yield context.new_page()
        finally:
            context.close()

    def play(self, page: Page, scene: Scene) -> None:
        self.go_to(page, scene)
        self.act(page, scene)

    def go_to(self, page: Page, scene: Scene) -> None:
        answer = page.goto(self.path_of(scene))
        assert answer
        assert answer.status == scene.status, (scene, answer.status)

    def act(self, page: Page, scene: Scene) -> None:
        if scene.act:
            scene.act(page)
            page.wait_for_load_state()

    def path_of(self, scene: Scene) -> str:
        return scene.path.format(**self._showcase.keys)

    def _state_of(self, who: str) -> StorageState:
        if who not in self._signed_in:
            self._signed_in[who] = self._sign_in(EMAILS[who])
        return self._signed_in[who]

    def _sign_in(self, email: str) -> StorageState:
        """Signs in without the browser, which is slower, and from a separate address."""
        context = self._browser.new_context(base_url=self._showcase.url, java_script_enabled=False)
        visitor = context.request
        headers = {"X-Forwarded-For": f"192.0.2.{next(_visitors)}"}
        page = BeautifulSoup(visitor.get("/sign-in").text(), "html.parser")
        token = str(page.select("main [name=csrf_token]")[0]["value"])
        form = FormData()
        form.set("csrf_token", token).set("email", email).set("password", DEMO_PASSWORD)
        answer = visitor.post("/sign-in", form=form, headers=headers)
        assert "/sign-in" not in answer.url, f"{email} cannot sign in"
        state = context.storage_state()
        context.close()
        return state
