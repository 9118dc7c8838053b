"""Which customer of the company a lead may already be, before it is first sent. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from languages import N_
from models.base import Json
from models.sales import RecordType
from outbox.company import Due, Fault, Later, Rejected, Remote, Synced
from quickbooks import matching, steps
from quickbooks.documents import Document
from quickbooks.faults import ours, phrase
from quickbooks.kinds import KINDS
from quickbooks.kinds.customer import name_of, suggested_name
from quickbooks.steps import Step

SAME_EMAIL = N_("was in QuickBooks already, with the same e-mail address")
SAME_NAME = N_("was in QuickBooks already, with the same name")
MAX_CHOICES = 20  # customers offered for a choice
# Until a lead is checked again if its company's customers were never read. Reading them makes it
# due (`directory.store`), so this is only a fallback: checking thousands of leads every minute is
# work.
DIRECTORY_COMES = timedelta(hours=1)


def match_lead(due: Due, document: Document, settings: Json) -> Step | None:
    """Matches a first send against the company's customers: by e-mail address, then by name.

    Exactly one match links. Several need a decision, and so does one that another lead has, or that
    agrees in one field and contradicts in another. None creates. Until the customers have been read
    the lead waits: late is better than twice.
    """
    known: list[Json] | None = settings.get("customers", [])
    if known is None:
        return Later(DIRECTORY_COMES)
    known = [
        one for one in known if not steps.is_ruled_out(due, one["id"]) and _may_be(document, one)
    ]
    match _alike(document, known):
        case []:
            return None
        case [one]:
            return _judge_one(due, document, one)
        case several:
            return _several(due, several)


def _alike(document: Document, known: Sequence[Json]) -> list[Json]:
    """Those with the same address and name; else with one of them; active ones first."""
    by_email = [one for one in known if _has_same_email(document, one)]
    by_name = [one for one in known if matching.same_name(one["name"], document["DisplayName"])]
    both = [one for one in by_email if one in by_name]
    alike = both or [*by_email, *by_name]
    alike = [one for one in alike if not _is_foreign(one)] or alike
    alike = [one for one in alike if one["active"]] or alike
    # several leads may share one, and one of a lead may be in the copy, too
    return list({one["id"]: one for one in reversed(alike)}.values())[::-1]


def _may_be(document: Document, one: Json) -> bool:
    """The customer of another lead is known only as it was sent. With an address of both and names
    that agree they may be one; with other names they are two, such as clients of one property
    manager. QuickBooks itself refuses the same name."""
    if "sent_names" not in one:
        return True
    names = filter(None, (document["DisplayName"], document.get("CompanyName")))
    return _has_same_email(document, one) and any(
        matching.names_agree(name, other) for name in names for other in one["sent_names"]
    )


def _judge_one(due: Due, document: Document, one: Json) -> Step | None:
    has_same_email = _has_same_email(document, one)
    if _is_foreign(one):
        if due.payload["quickbooks_name"] and not matching.same_name(
            one["name"], name_of(due.payload)
        ):
            return None  # a person gave it another name: it is not that one
        return _other_currency(due, one["id"], one["name"], one["currency"])
    if one["lead_id"] is not None and one["lead_id"] != due.record.id:
        return _taken(due, document, one)
    if has_same_email and _is_perhaps_another(document, one):
        return _perhaps(due, one)
    if not has_same_email and _contradict(document, one):
        return name_taken(due, document, _as_customer(one))
    if not one["active"]:
        return steps.inactive(due, _as_customer(one))
    remote = Remote(one["id"], one["version"], stale=True)
    return Synced(remote, note=SAME_EMAIL if has_same_email else SAME_NAME)


def _is_foreign(one: Json) -> bool:
    """A customer's currency can't be changed, and our invoices are in dollars."""
    return matching.has_other_currency(one.get("currency", ""))


def foreign(due: Due, there: Json) -> Rejected | None:
    """Refuses a customer, as QuickBooks answered it, that our invoices can't have."""
    currency = matching.currency_of(there)
    if due.record.type != RecordType.LEAD or not matching.has_other_currency(currency):
        return None
    return _other_currency(due, str(there["Id"]), str(there.get("DisplayName", "")), currency)


def _other_currency(due: Due, id_: str, name: str, currency: str) -> Rejected:
    """One with the same name can't be created, so another name is suggested."""
    about = {"holder_id": id_, "holder_name": name, "currency": currency}
    if matching.same_name(name, name_of(due.payload)):
        about["suggestion"] = suggested_name(due.payload)
    else:
        about["separate"] = "yes"
    return Rejected(ours("other_currency", due, about))


def _has_same_email(document: Document, one: Json) -> bool:
    return bool(matching.emails_of(document) & _emails(one))


def _emails(one: Json) -> frozenset[str]:
    return frozenset(filter(None, one["email"].split(",")))


def _contradict(document: Document, one: Json) -> bool:
    """Same name, but nothing else agrees, and something contradicts."""
    emails, phone = matching.emails_of(document), matching.phone_of(document)
    if emails & _emails(one) or (phone and phone == one["phone"]):
        return False
    return bool((emails and one["email"]) or (phone and one["phone"]))


def _is_perhaps_another(document: Document, one: Json) -> bool:
    """Same e-mail address, as many clients of a property manager
    have, but another name or phone. Another name is asked about though the phone is the same: that
    may be the manager's, too."""
    phone = matching.phone_of(document)
    names = (document["DisplayName"], document.get("CompanyName", ""))
    has_other_name = not any(matching.names_agree(name, one["name"]) for name in names)
    return has_other_name or bool(phone and one["phone"] and phone != one["phone"])


def _perhaps(due: Due, one: Json) -> Rejected:
    about = {
        "holder_id": one["id"],
        "holder_name": one["name"],
        "email": one["email"],
        "separate": "yes",
    }
    return Rejected(ours("perhaps_another", due, about))


def perhaps_ours(due: Due, there: Sequence[Json]) -> Rejected:
    """What an unanswered create of ours may have made, and was changed there since."""
    if len(there) > 1:
        return _several(due, [_as_candidate(one) for one in there])
    about = {
        "holder_id": str(there[0]["Id"]),
        "holder_name": str(there[0].get("DisplayName", "")),
        "separate": "yes",
    }
    return Rejected(ours("perhaps_ours", due, about))


def document_perhaps_ours(due: Due, there: Sequence[Json]) -> Rejected:
    """The same for an invoice, payment or refund: one that has no mark of ours now."""
    about: Json = {"date": there[0].get("TxnDate"), "holders": [str(one["Id"]) for one in there]}
    if len(there) == 1:
        about["holder_id"] = about["holders"][0]
    return Rejected(ours("document_perhaps_ours", due, about))


def _as_candidate(there: Json) -> Json:
    return {
        "id": str(there["Id"]),
        "name": str(there.get("DisplayName", "")),
        "email": matching.email_of(there),
        "phone": matching.phone_of(there),
    }


def _as_customer(one: Json) -> Json:
    """A stored customer in QuickBooks' format."""
    return {
        "Id": one["id"],
        "DisplayName": one["name"],
        "PrimaryEmailAddr": {"Address": one["email"]},
        "PrimaryPhone": {"FreeFormNumber": one["phone"]},
    }


def _several(due: Due, found: Sequence[Json]) -> Rejected:
    named: list[object] = [
        f"{one['name']} ({one['email']})"
        if one["email"]
        else phrase(N_("{name} (no e-mail address)"), name=one["name"])
        for one in found[:3]
    ]
    more = len(found) - len(named)
    shown = [
        {key: one[key] for key in ("id", "name", "email", "phone")} for one in found[:MAX_CHOICES]
    ]
    holder = phrase(N_("{names} and {more} more"), names=named, more=more) if more else named
    about = {"holder": holder, "candidates": shown}
    return Rejected(ours("several_customers", due, about))


def _taken(due: Due, document: Document, one: Json) -> Rejected:
    other = phrase(N_("the lead “{name}”"), name=one["lead_name"])
    has_same_name = matching.same_name(one["name"], document["DisplayName"])
    return Rejected(
        taken_by_another(due, one["id"], one["name"], other, has_same_name=has_same_name)
    )


def taken_by_another(
    due: Due, id_: str, name: str, other: Json | None = None, *, has_same_name: bool = True
) -> Fault:
    """The customer that a lead could be belongs to another lead. One with the same name can't be
    created, so another name is suggested."""
    about = {
        "holder_id": id_,
        "holder_name": f"“{name}”",
        "other": other or phrase(N_("another lead")),
    }
    if has_same_name:
        about["suggestion"] = suggested_name(due.payload)
    else:
        about["separate"] = "yes"
    return ours("taken_by_another_record", due, about)


def name_taken(due: Due, document: Document, there: Json | None) -> Rejected:
    """The name belongs to another object; None if we don't know to which."""
    name = document[KINDS[due.record.type].NAME or ""]
    if there is None:
        holder: Json = {"holder": phrase(N_("a vendor, an employee or another record"))}
    else:
        holder = {
            "holder": phrase(N_("another customer")),
            "holder_id": str(there["Id"]),
            "holder_name": str(there.get("DisplayName", name)),
        }
        told = " · ".join(filter(None, (matching.email_of(there), _phone(there))))
        if told:
            holder["holder"] = phrase(N_("another customer ({email})"), email=told)
    if due.record.type == RecordType.LEAD:
        holder["suggestion"] = suggested_name(due.payload)
    return Rejected(ours("6240", due, {"name": name, **holder}))


def _phone(there: Json) -> str:
    """The phone number as people read it."""
    digits = matching.phone_of(there)
    return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}" if len(digits) == 10 else digits
