"""Changes a company's behaviour: its switches, and preferences that act as switches."""

from __future__ import annotations

from dataclasses import asdict, fields
from decimal import Decimal

from simulator.documents import Document, Json, part_of
from simulator.store import Company, Switches, World

# Switches that a real company has in its preferences: name here → group there.
PREFERENCES = {
    "CustomTxnNumbers": "SalesFormsPrefs",
    "AutoApplyCredit": "SalesFormsPrefs",
    "AutoApplyPayments": "SalesFormsPrefs",
    "AllowDiscount": "SalesFormsPrefs",
    "ETransactionPaymentEnabled": "SalesFormsPrefs",
    "BookCloseDate": "AccountingInfoPrefs",
    "UsingSalesTax": "TaxPrefs",
    "PartnerTaxEnabled": "TaxPrefs",
    "MultiCurrencyEnabled": "CurrencyPrefs",
}
_ALLOWED = {
    "requestid_while_running": {"wait", "duplicate", "600"},
    "requestid_mismatch": {"replay", "600"},
    "duplicate_name_detail": {"id", "null", "words"},
    "inactive_ref_code": {"2500", "610"},
    "closed_period_code": {"", "5010"},
    "merged_customers": {"inactive", "gone"},
    "gateway_format": {"json", "xml"},
    "language": {"en", "fr"},
}
_NAMES = {each.name for each in fields(Switches)}


class BadSwitch(ValueError):
    """The switch doesn't exist, or cannot have this value."""


def set_switch(world: World, company: Company, name: str, value: Json | float) -> None:
    """Raises BadSwitch."""
    if name in PREFERENCES:
        _set_preference(world, company, name, value)
    elif name == "country":
        _set_country(world, company, str(value))
    elif name in _NAMES:
        allowed = _ALLOWED.get(name)
        if allowed and value not in allowed:
            raise BadSwitch(f"«{name}» is one of {', '.join(sorted(allowed))}")
        world.set_switches(company, **{name: _as_switch(name, value)})
        if name == "subscription_lapsed":
            _set_subscription(world, company, value is True)
    else:
        raise BadSwitch(f"there is no switch «{name}»")


def switches_of(company: Company) -> dict[str, object]:
    preferences = {
        name: company.preference(group)[name]
        for name, group in PREFERENCES.items()
        if name in company.preference(group)
    }
    return {
        "realm": company.realm,
        "name": company.name,
        "country": company.country,
        **asdict(company.switches),
        **preferences,
    }


def _set_preference(world: World, company: Company, name: str, value: Json | float) -> None:
    preferences = company.all("Preferences")["1"]
    told = Decimal(str(value)) if isinstance(value, float) else value
    group = {**part_of(preferences, PREFERENCES[name]), name: told}
    if value is None:
        del group[name]
    world.put(company, "Preferences", {**preferences, PREFERENCES[name]: group})


def _set_country(world: World, company: Company, country: str) -> None:
    company.country = country
    info = {**company.all("CompanyInfo")["1"], "Country": country}
    world.put(company, "CompanyInfo", info)
    world.log.add("country", company.realm, country)


def _set_subscription(world: World, company: Company, lapsed: bool) -> None:
    info = company.all("CompanyInfo")["1"]
    pairs = info.get("NameValue")
    told: list[Json] = []
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, dict) and pair.get("Name") == "SubscriptionStatus":
            pair = {**pair, "Value": "EXPIRED" if lapsed else "PAID"}
        told.append(pair)
    changed: Document = {**info, "NameValue": told}
    world.put(company, "CompanyInfo", changed)


def _as_switch(name: str, value: Json | float) -> object:
    """The value as the type of the switch's default; a switch without default is a number."""
    default = getattr(Switches(), name)
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, str):
        fits = isinstance(value, str)
    else:
        fits = is_number or (default is None and value is None)
    if not fits:
        raise BadSwitch(f"«{name}» cannot be {value!r}")
    return float(value) if isinstance(value, Decimal) else value
