"""Views: parse, act, commit, answer."""

from dataclasses import dataclass

from flask import Flask, request, url_for

import web.languages
from languages import N_
from presenters.badges import live_badges
from presenters.names import needed_by
from presenters.needs import needs_you
from presenters.situations import live_lane_id
from views import (
    activity,  # noqa: F401  (its pages register themselves with the settings')
    admin_outbox,  # noqa: F401  (of the staff)
    joining,  # noqa: F401  (of the accounts)
    letterhead,  # noqa: F401  (of the settings)
    stripe_webhook,  # noqa: F401  (of the webhooks)
)
from views.accountants import accountants, books
from views.accounts import accounts
from views.admin import admin
from views.arrivals import arrivals
from views.client_letters import client_letters
from views.client_links import client_links
from views.client_pages import client_pages
from views.connection import connection
from views.customers import customers
from views.drafts import drafts
from views.fixes import fixes
from views.forgotten import forgotten
from views.health import health
from views.home import home
from views.imports import imports
from views.invoice_drafts import invoice_drafts
from views.invoices import invoices
from views.jobs import jobs
from views.languages import languages
from views.leads import leads
from views.live import live
from views.matches import matches
from views.online_payments import online_payments
from views.outbox import outbox
from views.payments import payments
from views.people import people
from views.products import products
from views.proposals import proposals
from views.second_factor import second_factor
from views.sending import sending
from views.settings import quickbooks, settings
from views.sign_up import signing_up
from views.webhooks import webhooks
from web import access, errors, formats, security
from web.access import current_organization, person
from web.drafts import keep_of_strangers
from web.languages import _
from web.once import form_key


def register(app: Flask) -> None:
    """Registers all pages with the app."""
    security.register(app)
    app.before_request(keep_of_strangers)
    access.register(app)
    errors.register(app)
    formats.register(app)
    web.languages.register(app)
    app.jinja_env.globals.update(
        form_key=form_key,
        has_company=lambda: live_lane_id() is not None,
        live_badges=live_badges,
        is_visit=access.is_visit,
        firm=access.firm,
        needs_you=needs_you,
        sections=sections,
    )
    app.jinja_env.filters.update(needed_by=needed_by)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for blueprint in (
        home,
        accounts,
        signing_up,
        forgotten,
        second_factor,
        leads,
        imports,
        products,
        jobs,
        proposals,
        invoices,
        invoice_drafts,
        payments,
        settings,
        people,
        quickbooks,
        connection,
        outbox,
        drafts,
        fixes,
        customers,
        sending,
        arrivals,
        live,
        matches,
        accountants,
        books,
        admin,
        health,
        languages,
        webhooks,
        client_letters,
        client_links,
        client_pages,
        online_payments,
    ):
        app.register_blueprint(blueprint)


@dataclass(frozen=True)
class Section:
    """An entry of the main menu."""

    name: str
    address: str
    is_current: bool
    is_counted: bool  # with the number of things that need a person there


FIRM = [
    (N_("Home"), "home.show"),
    (N_("Leads"), "leads.index"),
    (N_("Jobs"), "jobs.index"),
    (N_("Proposals"), "proposals.index"),
    (N_("Invoices"), "invoices.index"),
    (N_("Payments"), "payments.index"),
    (N_("Products"), "products.index"),
]
ADMIN = [
    (N_("Outbox"), "admin.outbox"),
    (N_("Organizations"), "admin.organizations"),
    (N_("Audit"), "admin.audit"),
]


def sections() -> list[Section]:
    organization = current_organization()
    if person().is_admin or organization is None:
        entries = ADMIN
    else:
        entries = [*FIRM, (N_("Settings"), "settings.index")]
    return [
        Section(
            _(name),
            url_for(endpoint),
            _is_current(endpoint),
            endpoint == "settings.index",
        )
        for name, endpoint in entries
    ]


def _is_current(endpoint: str) -> bool:
    group, _point, view = endpoint.partition(".")
    here = request.endpoint or ""
    if group == "admin":
        return here.startswith(f"admin.{view.removesuffix('s')}")
    if group == "leads" and here.startswith("imports."):
        return True
    return here.startswith(f"{group}.") or (
        group == "settings"
        and here.startswith(
            (
                "quickbooks.",
                "connection.",
                "people.",
                "matches.",
                "arrivals.",
                "accountants.",
                "online_payments.",
            )
        )
    )
