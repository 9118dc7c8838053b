"""Stripe's hosted pages: payment, and onboarding of a firm. Plain HTML."""

from html import escape
from typing import Any

from aiohttp import web

from stripe_simulator.books import ACCOUNTS, CARDS, ROUTING, Books
from stripe_simulator.wire import Fields, Problem

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:2rem auto;padding:0 1rem;
color:#1a1f36;background:#f6f8fa}main{background:#fff;padding:1.5rem;border-radius:8px}
label{display:block;font-weight:600;margin:.75rem 0 .25rem}input,select{font:inherit;width:100%;
padding:.6rem;box-sizing:border-box;border:1px solid #8792a2;border-radius:6px}button{font:inherit;
margin-top:1rem;width:100%;padding:.75rem;border:0;border-radius:6px;background:#4b45c6;color:#fff}
button.plain{background:#fff;color:#1a1f36;border:1px solid #8792a2}.bad{color:#b3093c}
small{color:#596274}h1{font-size:1.75rem;margin:.25rem 0}"""
REFUSALS = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card.",
}


def routes(books: "web.AppKey[Books]") -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        _account, session = _session(request, request.app[books])
        if session["status"] == "complete":
            raise web.HTTPSeeOther(session["success_url"])
        return _page(session)

    async def pay(request: web.Request) -> web.Response:
        account, session = _session(request, request.app[books])
        form = dict(await request.post())
        outcome, details, sentence = _judge(session, form)
        if sentence:
            return _page(session, sentence)
        if outcome.startswith("3ds"):
            return _ask_bank(session, form)
        said = request.app[books].pay(account, session, outcome, details)
        if said in ("paid", "on_its_way"):
            raise web.HTTPSeeOther(
                session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
            )
        if said == "closed" and session["status"] == "complete":
            raise web.HTTPSeeOther(session["success_url"])
        if said == "closed":
            return _page(session)
        return _page(session, REFUSALS.get(said, "Your card was declined."))

    async def show_onboarding(request: web.Request) -> web.Response:
        link = _link(request, request.app[books])
        account = request.app[books].find("", "account", link["account"])
        name = escape(account["business_profile"]["name"] or "your business")
        return _html(
            "Connect",
            f"<h1>Tell Stripe about {name}</h1><p>This page is simulated. Nothing is checked.</p>"
            "<form method=post><button name=answer value=all>Agree and submit</button>"
            "<button class=plain name=answer value=some>Submit without a document</button></form>",
        )

    async def answer_onboarding(request: web.Request) -> web.Response:
        link, form = _link(request, request.app[books]), await request.post()
        link["used"] = True
        left_out = "individual.verification.document" if form.get("answer") == "some" else ""
        request.app[books].onboard(link["account"], leave_out=left_out)
        raise web.HTTPSeeOther(link["return_url"])

    return [
        web.get("/pay/{account}/{id}", show),
        web.post("/pay/{account}/{id}", pay),
        web.get("/connect/{id}", show_onboarding),
        web.post("/connect/{id}", answer_onboarding),
    ]


def _session(request: web.Request, books: Books) -> tuple[str, Fields]:
    account = request.match_info["account"]
    account = "" if account == "platform" else account
    try:
        return account, books.find(account, "checkout.session", request.match_info["id"])
    except Problem:
        raise web.HTTPNotFound from None


def _link(request: web.Request, books: Books) -> Fields:
    try:
        link = books.find("", "account_link", request.match_info["id"])
    except Problem:
        raise web.HTTPNotFound from None
    if link["used"]:
        raise web.HTTPGone(text="This link was used already.")
    return link


def _judge(session: Fields, form: dict[str, Any]) -> tuple[str, Fields, str]:
    """The outcome, the details Stripe keeps, and a message if it is refused at once."""
    if "us_bank_account" in session["payment_method_types"] and form.get("account"):
        number = str(form["account"]).replace(" ", "")
        if number not in ACCOUNTS or str(form.get("routing")) != ROUTING:
            return "", {}, "Check the routing and account numbers."
        bank = {"bank_name": "STRIPE TEST BANK", "last4": number[-4:], "routing_number": ROUTING}
        return ACCOUNTS[number], {"type": "us_bank_account", "us_bank_account": bank}, ""
    number = str(form.get("card", "")).replace(" ", "")
    if number not in CARDS:
        return "", {}, "Your card number is incorrect."
    outcome = CARDS[number]
    if form.get("bank_says") and outcome.startswith("3ds"):
        passes = form["bank_says"] == "yes" and outcome == "3ds"
        outcome = "paid" if passes else "authentication_required"
    brand = "mastercard" if number.startswith("5") else "visa"
    return outcome, {"type": "card", "card": {"brand": brand, "last4": number[-4:]}}, ""


def _page(session: Fields, problem: str = "") -> web.Response:
    sum_ = f"${session['amount_total'] / 100:,.2f}"
    if session["status"] != "open":
        back = escape(session["cancel_url"] or "/")
        return _html(
            "Checkout", f"<h1>This page has expired</h1><p><a href='{back}'>Go back</a></p>"
        )
    head = f"<small>{escape(session['title'])}</small><h1>{sum_}</h1>"
    head += "<p><small>Simulated. Nothing is charged.</small></p>"
    if problem:
        head += f"<p class=bad role=alert>{escape(problem)}</p>"
    if session["payment_method_types"] == ["us_bank_account"]:
        options = "".join(
            f"<option value={n}>{n} · {what}</option>" for n, what in ACCOUNTS.items()
        )
        fields = (
            "<label for=routing>Routing number</label>"
            f"<input id=routing name=routing value={ROUTING}>"
            "<label for=account>Account number</label>"
            f"<select id=account name=account>{options}</select>"
        )
    else:
        options = "".join(f"<option value={n}>{what}</option>" for n, what in CARDS.items())
        fields = (
            "<label for=card>Card number</label>"
            "<input id=card name=card list=cards value='4242 4242 4242 4242' inputmode=numeric>"
            f"<datalist id=cards>{options}</datalist>"
            "<label for=expiry>Expires</label><input id=expiry name=expiry value='12 / 34'>"
            "<label for=cvc>CVC</label><input id=cvc name=cvc value=123>"
        )
    back = escape(session["cancel_url"] or "/")
    return _html(
        "Checkout",
        f"{head}<form method=post>{fields}<button>Pay {sum_}</button></form>"
        f"<p><a href='{back}'>Back</a></p>",
    )


def _ask_bank(session: Fields, form: dict[str, Any]) -> web.Response:
    card = escape(str(form.get("card", "")))
    return _html(
        "3-D Secure",
        "<h1>Your bank asks</h1><p>Is this you?</p><form method=post>"
        f"<input type=hidden name=card value='{card}'>"
        "<button name=bank_says value=yes>Complete</button>"
        "<button class=plain name=bank_says value=no>Fail</button></form>",
    )


def _html(title: str, body: str) -> web.Response:
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<link rel=icon href='data:,'>"
        f"<style>{STYLE}</style><body><main>{body}</main></body></html>"
    )
    return web.Response(text=page, content_type="text/html")
