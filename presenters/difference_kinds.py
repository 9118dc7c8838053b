"""What each kind of difference means, and what to do about it."""

from dataclasses import dataclass

from languages import N_
from models.comparisons import Kind


@dataclass(frozen=True)
class About:
    """Texts shown for all differences of one kind."""

    icon: str
    tone: str
    title: str
    sentence: str


ABOUT: dict[Kind, About] = {
    Kind.TWICE_THERE: About(
        "layers",
        "bad",
        N_("Twice in QuickBooks"),
        N_(
            "QuickBooks has a second copy of this. Delete the copy there unless you "
            "need it: it counts the same money twice."
        ),
    ),
    Kind.DELETED_THERE: About(
        "alert",
        "bad",
        N_("Deleted in QuickBooks"),
        N_(
            "DunaHub sent it, and someone deleted it in QuickBooks. If that was a "
            "mistake, send it again; we ask you before creating anything new."
        ),
    ),
    Kind.VOIDED_THERE: About(
        "void",
        "bad",
        N_("Voided in QuickBooks"),
        N_(
            "It's voided in QuickBooks but not here. Void the invoice here too, or record the"
            " payment's refund or return here, or send it again."
        ),
    ),
    Kind.INACTIVE_THERE: About(
        "pause",
        "warn",
        N_("Inactive in QuickBooks"),
        N_(
            "The customer was made inactive or merged there. Their next invoice will ask what to"
            " do."
        ),
    ),
    Kind.VOID_HERE: About(
        "void",
        "bad",
        N_("Voided here, not in QuickBooks"),
        N_("It was voided here but not in QuickBooks. Send it again to void it there."),
    ),
    Kind.PAID_BACK: About(
        "retry",
        "bad",
        N_("Refunded here, still recorded in QuickBooks"),
        N_(
            "Record the refund in QuickBooks. If the whole payment was refunded or returned, you"
            " can void it there instead. Under “How records arrive” you can choose to have DunaHub"
            " do that."
        ),
    ),
    Kind.OTHER_TOTAL: About(
        "differs",
        "bad",
        N_("Different total"),
        N_(
            "Someone changed it in QuickBooks, or QuickBooks calculates a different tax. Send it"
            " again to put DunaHub's version there, or correct it there."
        ),
    ),
    Kind.OFF_INVOICE: About(
        "differs",
        "bad",
        N_("Payment applied differently"),
        N_(
            "In QuickBooks the payment, or part of it, is no longer applied to this invoice. Send"
            " it again to reapply it, or correct it there. The amounts are what is applied to the"
            " invoice."
        ),
    ),
    Kind.OTHER_BALANCE: About(
        "differs",
        "bad",
        N_("Different balance"),
        N_(
            "The open balance is different in QuickBooks: someone recorded, moved or deleted a"
            " payment or a credit there. Record it here too, or correct it there."
        ),
    ),
    Kind.OTHER_CUSTOMER: About(
        "differs",
        "warn",
        N_("Different customer"),
        N_("In QuickBooks it belongs to another customer. Send it again to correct it there."),
    ),
    Kind.OTHER_LINES: About(
        "differs",
        "warn",
        N_("Different lines"),
        N_(
            "Someone changed the lines in QuickBooks, and the total stayed the same. Send it again"
            " to put DunaHub's lines there, or change them here."
        ),
    ),
    Kind.OTHER_MONTH: About(
        "differs",
        "warn",
        N_("Dated in another month"),
        N_("Its date is different in QuickBooks, so it counts in a different month there."),
    ),
    Kind.NEEDS_ATTENTION: About(
        "alert",
        "bad",
        N_("Needs attention"),
        N_("It isn't in QuickBooks yet, because something is blocking it."),
    ),
    Kind.MADE_THERE: About(
        "out",
        "quiet",
        N_("Only in QuickBooks"),
        N_(
            "Someone entered it in QuickBooks. That is fine: DunaHub leaves it alone "
            "and does not copy it."
        ),
    ),
    Kind.ON_ITS_WAY: About(
        "clock",
        "busy",
        N_("On its way"),
        N_("It is waiting to be sent. Compare again when it has arrived."),
    ),
    Kind.LEFT_OUT: About(
        "dash",
        "quiet",
        N_("Not sent"),
        N_("Only in DunaHub. Nothing is wrong: the reason each one wasn't sent is next to it."),
    ),
}
