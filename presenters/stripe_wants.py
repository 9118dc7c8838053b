"""What Stripe still wants to know from a firm, in words: it says so in paths of its API."""

from languages import N_
from models.processors import ProcessorAccount
from web.languages import _

ABOUT = {  # by the first part of the path
    "external_account": N_("A bank account for your payouts"),
    "tos_acceptance": N_("Your agreement to Stripe's terms"),
    "business_profile": N_("About your business"),
    "company": N_("About your company"),
    "individual": N_("About you"),
    "representative": N_("About the person who represents your company"),
    "owners": N_("About your company's owners"),
    "directors": N_("About your company's directors"),
    "executives": N_("About your company's executives"),
}


def stripe_wants(account: ProcessorAccount | None) -> list[str]:
    """Each thing once: *About you: verification, document*. Overdue ones are due, too."""
    if account is None:
        return []
    paths = [*account.wanted.get("due", []), *account.wanted.get("overdue", [])]
    return [_said(path) for path in dict.fromkeys(map(str, paths))]


def _said(path: str) -> str:
    first, *rest = path.split(".")
    told = ", ".join(part.replace("_", " ") for part in rest)
    if first not in ABOUT:
        return ", ".join(part.replace("_", " ") for part in path.split("."))
    return f"{_(ABOUT[first])}: {told}" if told else _(ABOUT[first])
