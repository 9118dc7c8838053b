"""Words for the engine's states, for DunaHub's staff, and for what people did."""

from languages import N_
from models.accounts import AuditEvent
from web.languages import _

# The engine's words, for DunaHub's own staff.
STAFF_WORDS = {
    "open": N_("open"),
    "held": N_("held"),
    "closed": N_("closed"),
    "pending": N_("pending"),
    "synced": N_("synced"),
    "failed": N_("failed"),
    "skipped": N_("skipped"),
    "superseded": N_("superseded"),
    "save": N_("save"),
    "void": N_("void"),
    "create": N_("create"),
    "update": N_("update"),
    "read": N_("read"),
    "look_up": N_("look up"),
    "retry": N_("retry"),
    "rejected": N_("rejected"),
    "waiting": N_("waiting"),
    "unneeded": N_("unneeded"),
    "learned": N_("learned"),
    "signed_out": N_("signed out"),
    "access_lost": N_("access lost"),
    "plan_lapsed": N_("plan lapsed"),
    "company_reset": N_("company set up again"),
    "lead": N_("lead"),
    "product": N_("product"),
    "invoice": N_("invoice"),
    "payment": N_("payment"),
    "refund": N_("refund"),
    "owner": N_("owner"),
    "member": N_("member"),
    "bookkeeper": N_("bookkeeper"),
    "connected": N_("connected"),
    "expired": N_("expired"),
    "disconnected": N_("disconnected"),
}


def staff_word(code: str | None) -> str:
    words = STAFF_WORDS.get(code or "")
    return _(words) if words else code or ""


# Names of acts in the audit log.
ACTIONS = {
    "account.invitation_withdrawn": N_("Invitation withdrawn"),
    "account.invited": N_("Invited"),
    "account.joined": N_("Joined"),
    "account.many_wrong_passwords": N_("Many wrong passwords"),
    "account.password_changed": N_("Password changed"),
    "accountant.link_made": N_("Accountant link created"),
    "accountant.link_revoked": N_("Accountant link revoked"),
    "accountant.visited": N_("The accountant viewed the books"),
    "account.email_change_asked": N_("E-mail change requested"),
    "account.email_changed": N_("E-mail address changed"),
    "account.name_changed": N_("Name changed"),
    "account.password_forgotten": N_("Password reset requested"),
    "account.password_reset": N_("Password reset by e-mail"),
    "account.recovery_codes_renewed": N_("New recovery codes"),
    "account.removed": N_("Removed from the organization"),
    "account.removed_by_operator": N_("Removed by DunaHub"),
    "account.reset_by_operator": N_("Password reset by DunaHub"),
    "account.role_changed": N_("Role changed"),
    "account.second_factor_off": N_("Second factor turned off"),
    "account.second_factor_on": N_("Second factor turned on"),
    "account.signed_in": N_("Signed in"),
    "account.signed_out": N_("Signed out"),
    "account.signed_out_by_operator": N_("Signed out by DunaHub"),
    "account.signed_out_by_owner": N_("Signed out by an owner"),
    "account.signed_out_everywhere": N_("Signed out everywhere"),
    "account.signed_up": N_("Signed up"),
    "admin.created": N_("Admin created"),
    "invoice.changed": N_("Invoice changed"),
    "invoice.voided": N_("Invoice voided"),
    "leads.import_undone": N_("Customer import undone"),
    "leads.imported": N_("Customers imported"),
    "organization.changed": N_("Organization changed"),
    "organization.letterhead_changed": N_("Letterhead changed"),
    "organization.first_steps_hidden": N_("First steps hidden"),
    "organization.region_changed": N_("Region changed"),
    "outbox.downloaded": N_("Outbox rows downloaded"),
    "outbox.decided_choose_customer": N_("Chose the customer in QuickBooks"),
    "outbox.decided_create_again": N_("Chose to create it again in QuickBooks"),
    "outbox.decided_create_new": N_("Chose to create a separate customer"),
    "outbox.decided_entered": N_("Entered it in QuickBooks by hand"),
    "outbox.decided_fallback": N_("Chose the fallback item"),
    "outbox.decided_let_quickbooks_number": N_("Let QuickBooks number it"),
    "outbox.decided_link_existing": N_("Used the existing customer"),
    "outbox.decided_other_item": N_("Chose another item"),
    "outbox.customer_taken_back": N_("Changed which QuickBooks customer a lead is linked to"),
    "outbox.decided_reactivate": N_("Reactivated it in QuickBooks"),
    "outbox.decided_send_as": N_("Sent it with a different name"),
    "outbox.requeued": N_("Sent again"),
    "outbox.sending_before_disconnect": N_("Sending before disconnecting"),
    "outbox.sent_by_hand": N_("Sent a record by hand"),
    "outbox.skip_undone": N_("Undid a skip"),
    "outbox.skipped": N_("Decided not to send"),
    "outbox.waiting_sent": N_("Sent what was waiting"),
    "outbox.waiting_skipped": N_("Decided not to send what was waiting"),
    "client.letter_sent": N_("Sent to the client"),
    "client.link_revoked": N_("Client's link revoked"),
    "payment.paid_online": N_("Paid online"),
    "payment.refunded": N_("Payment refunded or returned"),
    "payment.refund_decided": N_("Checked in Stripe whether a payment was refunded"),
    "payments.connected": N_("Stripe connected"),
    "proposal.accepted": N_("Proposal accepted by the client"),
    "proposal.declined": N_("Proposal declined by the client"),
    "payment.recorded": N_("Payment recorded"),
    "quickbooks.activity_downloaded": N_("Activity downloaded"),
    "quickbooks.arrivals_changed": N_("“How records arrive” was changed"),
    "quickbooks.checked": N_("Connection to QuickBooks checked"),
    "quickbooks.callback_refused": N_("QuickBooks sign-in refused"),
    "quickbooks.comparison_asked": N_("Month compared with QuickBooks"),
    "quickbooks.comparison_exported": N_("Comparison downloaded"),
    "quickbooks.company_chosen": N_("QuickBooks company chosen"),
    "quickbooks.company_declined": N_("QuickBooks company declined"),
    "quickbooks.connected": N_("QuickBooks connected"),
    "quickbooks.disconnected": N_("QuickBooks disconnected"),
    "quickbooks.stayed_connected": N_("Disconnecting canceled"),
    "quickbooks.expired": N_("QuickBooks sign-in expired"),
    "quickbooks.reconnected": N_("QuickBooks reconnected"),
}


def spoken_reason(event: AuditEvent) -> str:
    """The reason a person wrote, or the program's reason in the reader's language."""
    reason = event.reason or ""
    match event.action:
        case "quickbooks.callback_refused":
            return _(reason) if reason else ""
        case "quickbooks.disconnected" if reason == "region":
            return _("The region changed")
        case "quickbooks.disconnected" if reason == "all_sent":
            return _("Everything was sent first")
        case "payment.recorded" if reason.startswith(PROCESSORS_EVENT):
            told = reason.removeprefix(PROCESSORS_EVENT)
            return _("Payment processor, event %(id)s", id=told)
    return reason


PROCESSORS_EVENT = "Payment processor, event "  # as stored


def spoken_action(action: str) -> str:
    words = ACTIONS.get(action)
    return _(words) if words else action.replace("_", " ").replace(".", ": ")
