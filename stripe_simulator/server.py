"""Stripe's API paths that we use, its hosted pages, and a control interface at /_simulator."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from stripe_simulator import pages
from stripe_simulator.books import Books
from stripe_simulator.delivery import Delivery, Endpoint
from stripe_simulator.wire import Fields, Problem, missing, nested, only, required, whole

TICK = 0.1  # seconds between checks for due acts
BOOKS = web.AppKey("books", Books)
DELIVERY = web.AppKey("delivery", Delivery)
FAULTS = web.AppKey("faults", list[Fields])
DATA = web.AppKey("data", list[Path])  # where data is stored, if anywhere

MIN_CENTS, MAX_SECONDS_OPEN, MIN_SECONDS_OPEN = 50, 24 * 3600, 30 * 60 - 60
SESSION = """mode line_items allowed_payment_method_types excluded_payment_method_types metadata
 payment_intent_data payment_method_options client_reference_id locale success_url cancel_url
 expires_at customer_email customer ui_mode expand"""


def make_app(delivery: Delivery, data: Path | None = None) -> web.Application:
    app = web.Application(middlewares=[_errors, _idempotent])
    app[BOOKS], app[DELIVERY] = _loaded(data), delivery
    app[FAULTS], app[DATA] = [], [data] if data else []
    app[BOOKS].onward = delivery.take
    app.cleanup_ctx.append(_ticking)
    app.add_routes(
        [
            web.post("/v1/accounts", open_account),
            web.get("/v1/accounts/{id}", show_account),
            web.post("/v1/account_links", link_account),
            web.post("/v2/core/accounts", open_account_v2),
            web.get("/v2/core/accounts/{id}", show_account_v2),
            web.post("/v2/core/account_links", link_account_v2),
            web.post("/v1/checkout/sessions", open_session),
            web.get("/v1/checkout/sessions", list_sessions),
            web.get("/v1/checkout/sessions/{id}", show_session),
            web.post("/v1/checkout/sessions/{id}/expire", expire_session),
            web.get("/v1/payment_intents", list_intents),
            web.get("/v1/payment_intents/{id}", show_intent),
            web.get("/v1/charges", list_charges),
            web.get("/v1/charges/{id}", show_charge),
            web.post("/v1/refunds", refund),
            web.get("/v1/refunds", list_refunds),
            web.get("/v1/refunds/{id}", show_refund),
            web.get("/v1/disputes", list_disputes),
            web.get("/v1/disputes/{id}", show_dispute),
            web.get("/v1/balance_transactions/{id}", show_transaction),
            web.get("/v1/events", list_events),
            web.get("/v1/events/{id}", show_event),
            *pages.routes(BOOKS),
            web.get("/_simulator/objects", show_objects),
            web.post("/_simulator/{act}", control),
            web.get("/", say_hello),
        ]
    )
    return app


# --- Around every request -------------------------------------------------------------------------


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except Problem as problem:
        answer = web.json_response(problem.body, status=problem.status)
    answer.headers["Request-Id"] = "req_simulated"
    return answer


@web.middleware
async def _idempotent(request: web.Request, handler: Any) -> web.StreamResponse:
    """Applies requested faults, and gives one answer per idempotency key."""
    if not request.path.startswith(("/v1/", "/v2/")):
        done: web.StreamResponse = await handler(request)
        _save(request.app)
        return done
    fault = _fault(request)
    if fault == "500_before":
        raise Problem(500, "", "An error occurred.", type_="api_error")
    if fault == "429":
        raise Problem(429, "rate_limit", "Too many requests.", type_="rate_limit_error")
    if fault == "cut_before":
        return _cut(request)
    key = request.headers.get("Idempotency-Key", "")
    if request.method == "POST" and key:
        answer = await _once(request, handler, key, is_broken=fault == "500_after")
    else:
        answer = await handler(request)
    _save(request.app)
    return _cut(request) if fault == "cut_after" else answer


async def _once(
    request: web.Request, handler: Any, key: str, *, is_broken: bool
) -> web.StreamResponse:
    answers = request.app[BOOKS].answers
    body = await request.read()
    asked = hashlib.sha256(request.path.encode() + b"\0" + body).hexdigest()
    scoped = f"{request.headers.get('Stripe-Account', '')} {key}"
    if scoped in answers:
        same, status, text = answers[scoped]
        if same != asked:
            words = "Keys for idempotent requests can only be used with the same parameters"
            raise Problem(400, "", words, type_="idempotency_error")
        headers = {"Idempotent-Replayed": "true"}
        return web.json_response(text=text, status=status, headers=headers)
    try:
        answer = await handler(request)
    except Problem as problem:
        if problem.status != 400:  # answers of requests that were never executed are not kept
            raise
        answer = web.json_response(problem.body, status=problem.status)
    if is_broken:  # the work is done, and Stripe keeps this answer
        body_ = {"error": {"type": "api_error", "message": "An error occurred."}}
        answer = web.json_response(body_, status=500)
    answers[scoped] = (asked, answer.status, answer.text or "")
    return answer  # type: ignore[no-any-return]


def _fault(request: web.Request) -> str:
    """The next fault requested for this path; each is used once."""
    for fault in request.app[FAULTS]:
        if fault["path"] in request.path and fault.get("method", request.method) == request.method:
            fault["times"] -= 1
            if not fault["times"]:
                request.app[FAULTS].remove(fault)
            return str(fault["kind"])
    return ""


def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


async def _ticking(app: web.Application) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK)
            app[BOOKS].run_due()

    task = asyncio.create_task(tick())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    _save(app)


def _loaded(data: Path | None) -> Books:
    books = Books()
    if data and data.exists():
        stored = json.loads(data.read_text())
        books.objects, books.ahead = stored["objects"], stored["ahead"]
        books.due = [tuple(one) for one in stored["due"]]
        books.answers = {key: tuple(one) for key, one in stored["answers"].items()}
    return books


def _save(app: web.Application) -> None:
    if not app[DATA]:
        return
    [data], books = app[DATA], app[BOOKS]
    stored = {
        "objects": books.objects,
        "ahead": books.ahead,
        "due": books.due,
        "answers": books.answers,
    }
    fresh = data.with_suffix(".new")
    fresh.write_text(json.dumps(stored))
    fresh.replace(data)


# --- Who asks, and what for -----------------------------------------------------------------------


def _account(request: web.Request) -> str:
    """The account that the call is for. Raises for a bad key or an account that isn't ours."""
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not key.startswith(("sk_test_", "rk_test_")):
        raise Problem(401, "", "Invalid API Key provided.")
    account = request.headers.get("Stripe-Account", "")
    if account:
        known = request.app[BOOKS].objects.get("", {}).get(account)
        if known is None or known.get("gone"):
            text = f"The provided key does not have access to account '{account}'."
            raise Problem(403, "account_invalid", text)
    return account


async def _form(request: web.Request) -> Fields:
    return nested(parse_qsl(await request.text(), keep_blank_values=True))


def _listed(request: web.Request, kind: str) -> web.Response:
    account, asked = _account(request), nested(parse_qsl(request.query_string))
    only(
        asked,
        "limit starting_after created status payment_intent charge customer expand type",
    )
    things = list(request.app[BOOKS].all(account, kind))
    since = int((asked.get("created") or {}).get("gte", 0))
    things = [thing for thing in things if thing["created"] >= since]
    for name in ("status", "payment_intent", "charge", "type"):
        if name in asked:
            things = [thing for thing in things if thing.get(name) == asked[name]]
    if "starting_after" in asked:
        ids = [thing["id"] for thing in things]
        if asked["starting_after"] not in ids:
            raise missing(kind, asked["starting_after"])
        things = things[ids.index(asked["starting_after"]) + 1 :]
    limit = int(asked.get("limit", 10))
    if not 1 <= limit <= 100:
        raise Problem(400, "parameter_invalid_integer", "limit must be 1 to 100", param="limit")
    listed = {
        "object": "list",
        "url": request.path,
        "has_more": len(things) > limit,
        "data": [_shown(thing) for thing in things[:limit]],
    }
    return web.json_response(listed)


def _shown(thing: Fields) -> Fields:
    """Without fields that only the simulator has."""
    hidden = {"session", "payment_intent_data", "will_fail", "refund_fails", "gone"}
    return {name: value for name, value in thing.items() if name not in hidden}


def _found(request: web.Request, kind: str) -> Fields:
    return request.app[BOOKS].find(_account(request), kind, request.match_info["id"])


async def say_hello(_request: web.Request) -> web.Response:
    return web.Response(text="A simulated Stripe.")


# --- Accounts -------------------------------------------------------------------------------------


async def open_account(request: web.Request) -> web.Response:
    _account(request)
    form = await _form(request)
    only(form, "email country business_profile controller capabilities metadata type")
    name = (form.get("business_profile") or {}).get("name", "")
    return web.json_response(_shown(request.app[BOOKS].open_account(form.get("email", ""), name)))


async def show_account(request: web.Request) -> web.Response:
    _account(request)
    account = request.app[BOOKS].find("", "account", request.match_info["id"])
    if account.get("gone"):
        raise Problem(403, "account_invalid", "The account does not exist, or access was revoked.")
    return web.json_response(_shown(account))


async def link_account(request: web.Request) -> web.Response:
    _account(request)
    form = await _form(request)
    only(form, "account type refresh_url return_url collection_options")
    return web.json_response(_link(request, form["account"], form["return_url"]))


async def open_account_v2(request: web.Request) -> web.Response:
    _account(request)
    asked = await request.json()
    only(asked, "contact_email display_name dashboard identity configuration defaults include")
    account = request.app[BOOKS].open_account(
        asked.get("contact_email", ""), asked.get("display_name", "")
    )
    return web.json_response({"id": account["id"], "object": "v2.core.account"})


async def show_account_v2(request: web.Request) -> web.Response:
    _account(request)
    account = request.app[BOOKS].find("", "account", request.match_info["id"])
    return web.json_response({"id": account["id"], "object": "v2.core.account"})


async def link_account_v2(request: web.Request) -> web.Response:
    _account(request)
    asked = await request.json()
    use = asked["use_case"]["account_onboarding"]
    only(use, "refresh_url return_url collection_options", "use_case[account_onboarding]")
    link = _link(request, asked["account"], use["return_url"])
    return web.json_response({**link, "object": "v2.core.account_link", "expires_at": None})


def _link(request: web.Request, account: str, return_url: str) -> Fields:
    books = request.app[BOOKS]
    books.find("", "account", account)
    link = books.keep("", "account_link", "acl", account=account, return_url=return_url, used=False)
    address = f"{request.scheme}://{request.host}/connect/{link['id']}"
    return {
        "object": "account_link",
        "url": address,
        "created": books.now(),
        "expires_at": books.now() + 300,
    }


# --- Paying ---------------------------------------------------------------------------------------


async def open_session(request: web.Request) -> web.Response:
    account, form, books = _account(request), await _form(request), request.app[BOOKS]
    if "payment_method_types" in form:
        raise Problem(
            400,
            "payment_method_types_no_longer_supported",
            "payment_method_types is no longer supported; use allowed_payment_method_types.",
            param="payment_method_types",
        )
    only(form, SESSION)
    if required(form, "mode") != "payment":
        raise Problem(400, "parameter_invalid", "Only payment is simulated.", param="mode")
    total = 0
    for item in required(form, "line_items"):
        only(item, "quantity price_data", "line_items")
        price = required(item, "price_data")
        if required(price, "currency") != "usd":
            raise Problem(400, "parameter_invalid", "Only usd is simulated.", param="currency")
        total += whole(price, "unit_amount") * whole(item, "quantity")
    if total < MIN_CENTS:
        text = "The Checkout Session's total amount due must add up to at least $0.50 usd"
        raise Problem(400, "amount_too_small", text)
    if total > 99_999_999:
        raise Problem(400, "amount_too_large", "Amount must be no more than $999,999.99")
    now = int(time.time())  # the caller's clock, not the one that tests move
    expires = whole(form, "expires_at") if "expires_at" in form else now + MAX_SECONDS_OPEN
    if not MIN_SECONDS_OPEN <= expires - now <= MAX_SECONDS_OPEN + 60:
        text = "The `expires_at` timestamp must be between 30 minutes and 24 hours from creation."
        raise Problem(400, "parameter_invalid", text, param="expires_at")
    firm = books.objects[""].get(account, {})
    if account and not firm.get("charges_enabled"):
        raise Problem(400, "account_invalid", "Your account cannot currently make live charges.")
    kinds = form.get("allowed_payment_method_types") or ["card", "us_bank_account"]
    session = books.keep(
        account,
        "checkout.session",
        "cs_test",
        mode="payment",
        status="open",
        payment_status="unpaid",
        amount_total=total,
        amount_subtotal=total,
        currency="usd",
        payment_intent=None,
        expires_at=expires,
        client_reference_id=form.get("client_reference_id"),
        metadata=form.get("metadata") or {},
        customer=None,
        customer_details=None,
        customer_email=form.get("customer_email"),
        payment_method_types=kinds,
        success_url=required(form, "success_url"),
        cancel_url=form.get("cancel_url"),
        locale=form.get("locale"),
        payment_intent_data=form.get("payment_intent_data") or {},
        title=form["line_items"][0]["price_data"]["product_data"]["name"],
    )
    session["url"] = (
        f"{request.scheme}://{request.host}/pay/{account or 'platform'}/{session['id']}"
    )
    books.later(expires - now, "end_session", account, session["id"])
    return web.json_response(_shown(session))


async def list_sessions(request: web.Request) -> web.Response:
    return _listed(request, "checkout.session")


async def show_session(request: web.Request) -> web.Response:
    return web.json_response(_shown(_found(request, "checkout.session")))


async def expire_session(request: web.Request) -> web.Response:
    session = _found(request, "checkout.session")
    request.app[BOOKS].close(_account(request), session)
    return web.json_response(_shown(session))


async def list_intents(request: web.Request) -> web.Response:
    return _listed(request, "payment_intent")


async def show_intent(request: web.Request) -> web.Response:
    account, intent = _account(request), dict(_found(request, "payment_intent"))
    expand = nested(parse_qsl(request.query_string)).get("expand") or []
    if intent["latest_charge"] and any(one.startswith("latest_charge") for one in expand):
        books = request.app[BOOKS]
        charge = dict(books.find(account, "charge", intent["latest_charge"]))
        if charge["balance_transaction"] and "latest_charge.balance_transaction" in expand:
            key = charge["balance_transaction"]
            charge["balance_transaction"] = books.find(account, "balance_transaction", key)
        intent["latest_charge"] = _shown(charge)
    return web.json_response(_shown(intent))


async def list_charges(request: web.Request) -> web.Response:
    return _listed(request, "charge")


async def show_charge(request: web.Request) -> web.Response:
    return web.json_response(_shown(_found(request, "charge")))


async def show_transaction(request: web.Request) -> web.Response:
    return web.json_response(_shown(_found(request, "balance_transaction")))


# --- Paying back ----------------------------------------------------------------------------------


async def refund(request: web.Request) -> web.Response:
    account, form, books = _account(request), await _form(request), request.app[BOOKS]
    only(form, "payment_intent charge amount reason metadata refund_application_fee expand")
    if "payment_intent" in form:
        intent = books.find(account, "payment_intent", form["payment_intent"])
        key = intent["latest_charge"]
    else:
        key = required(form, "charge")
    charge = books.find(account, "charge", key)
    if charge["status"] != "succeeded":
        raise Problem(400, "charge_not_refundable", "This charge is not refundable.")
    left = charge["amount"] - charge["amount_refunded"]
    amount = whole(form, "amount") if "amount" in form else left
    made = books.refund(account, charge, amount, form.get("metadata") or {})
    return web.json_response(_shown(made))


async def list_refunds(request: web.Request) -> web.Response:
    return _listed(request, "refund")


async def show_refund(request: web.Request) -> web.Response:
    return web.json_response(_shown(_found(request, "refund")))


async def list_disputes(request: web.Request) -> web.Response:
    return _listed(request, "dispute")


async def show_dispute(request: web.Request) -> web.Response:
    return web.json_response(_shown(_found(request, "dispute")))


async def list_events(request: web.Request) -> web.Response:
    return _listed(request, "event")


async def show_event(request: web.Request) -> web.Response:
    return web.json_response(_shown(_found(request, "event")))


# --- For tests and demos --------------------------------------------------------------------------


async def show_objects(request: web.Request) -> web.Response:
    app = request.app
    return web.json_response(
        {
            "objects": app[BOOKS].objects,
            "deliveries": app[DELIVERY].log,
            "delivering": len(app[DELIVERY].tasks),
            "held": len(app[DELIVERY].held),
        }
    )


async def control(request: web.Request) -> web.Response:
    """reset, advance, webhooks, faults, onboard, restrict, let_go, dispute, decide, endpoints."""
    app, asked = request.app, await request.json()
    books, delivery = app[BOOKS], app[DELIVERY]
    done: object = None
    match request.match_info["act"]:
        case "reset":
            books.objects.clear()
            books.answers.clear()
            books.due.clear()
            books.ahead = 0
            app[FAULTS].clear()
            for task in list(delivery.tasks):
                task.cancel()
            delivery.mode = "normal"
            delivery.held.clear()
            delivery.log.clear()
        case "advance":
            books.ahead += asked["seconds"]
            books.run_due()
        case "webhooks":
            delivery.mode = asked["mode"]
        case "let_go_held":
            done = delivery.let_go(is_reversed=asked.get("reversed", False))
        case "faults":
            app[FAULTS].append({"times": 1, **asked})
        case "endpoints":
            delivery.endpoints = [Endpoint(**one) for one in asked["endpoints"]]
        case "onboard":
            books.onboard(asked["account"], leave_out=asked.get("leave_out", ""))
        case "restrict":
            books.restrict(asked["account"], asked.get("reason", "requirements.past_due"))
        case "let_go":
            books.let_go(asked["account"])
        case "refund":  # like someone in Stripe's dashboard
            charge = books.find(asked["account"], "charge", asked["charge"])
            done = books.refund(asked["account"], charge, asked["amount"], {})
        case "dispute":
            books.dispute(asked["account"], asked["charge"])
        case "return":
            books.return_transfer(asked["account"], asked["charge"])
        case "decide":
            books.decide(asked["account"], asked["dispute"], asked["status"])
        case _:
            raise web.HTTPNotFound
    _save(app)
    return web.json_response({"done": done})
