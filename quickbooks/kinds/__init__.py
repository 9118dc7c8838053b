"""The record types as QuickBooks knows them: one module each, with the same names in all.

A new record type is one more module here, one line of KINDS, and what CONTRIBUTING.md lists under
*Adding a type of record*.
"""

from collections.abc import Mapping
from typing import Protocol

from models.base import Json
from models.sales import Record, RecordType
from outbox.company import Remote
from quickbooks.cleaning import Cleaned, SentText
from quickbooks.documents import Document
from quickbooks.kinds import customer, invoice, item, payment, refund
from quickbooks.questions import Question


class RecordKind(Protocol):
    """What a module of `kinds/` offers. All of it is pure."""

    ENTITY: str  # QuickBooks' name of the type
    PAGE: tuple[str, str | None]  # its page in QuickBooks, and the parameter with the id
    NAME: str | None  # the property that only one of them may have
    USES: tuple[str, ...]  # what it uses that may be inactive, in the order in which it is checked
    GONE: str  # the fault when it was deleted in QuickBooks
    VOIDING: Mapping[str, str]  # how the request that voids it is marked
    NOUN: str  # what it is called where a fault is explained
    EFFECT: str  # what it means to the owner that it could not be sent
    ACCOUNT_FOR: str | None  # what its account is for; None: as chosen for its way of payment
    IS_CREATED_ONLY: bool  # later changes are not sent
    MAY_BE_ENTERED: bool  # a person may enter it in QuickBooks instead, see `by_hand`
    FIELDS: tuple[SentText, ...]  # texts that are sent, with the lengths that QuickBooks stores

    def document(
        self, payload: Json, links: Mapping[Record, Remote], settings: Json, /
    ) -> Document:
        """What QuickBooks should have of the record. Raises NotWritable or Missing.

        Money and quantities are `Decimal` from the snapshot's strings to the digits in the body.
        Empty fields are left out, so that fields that we do not manage are not cleared.
        """
        ...

    def find_by(self, payload: Json, links: Mapping[Record, Remote], settings: Json, /) -> Question:
        """How to find what an unanswered create of ours made. Raises NotWritable or Missing.

        Needs as little as possible: a record that has no document any more may have arrived.
        """
        ...

    def marks(self, document: Document, /) -> list[Question]:
        """Everything that a document of ours can be found by."""
        ...

    def is_same(self, document: Document, found: Json, /) -> bool:
        """Whether the object found by a mark of this document is what it created."""
        ...

    def perhaps_made(self, document: Document, found: Json, /) -> bool:
        """Whether this document may have created the object, and somebody changed it there since,
        as far as that it can't be found by a mark."""
        ...

    def cleanings(self, payload: Json, /) -> list[Cleaned]:
        """The texts that QuickBooks gets in another form, for people to see."""
        ...


KINDS: Mapping[RecordType, RecordKind] = {
    RecordType.LEAD: customer,
    RecordType.PRODUCT: item,
    RecordType.INVOICE: invoice,
    RecordType.PAYMENT: payment,
    RecordType.REFUND: refund,
}
ENTITY: Mapping[RecordType, str] = {type_: kind.ENTITY for type_, kind in KINDS.items()}


def document(
    record: Record, payload: Json, links: Mapping[Record, Remote], settings: Json
) -> Document:
    """What QuickBooks should have of the record. Raises NotWritable or Missing."""
    return KINDS[record.type].document(payload, links, settings)
