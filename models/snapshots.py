"""How records are sent: the frozen snapshot in an entry, and what makes an entry.

The snapshot is read by SQL in the capturing statement.

It comes from the database, never from objects in memory, which may be stale after another
transaction's change. Money and quantities are strings. Each SELECT yields (organization_id, id,
operation, payload).

Some keys of a payload are read without regard to the record's type:

- `title`, what the record is called in lists, and `needs`, the records that must be in QuickBooks
  first, are in every payload
- `mark`: a document in QuickBooks is recognized by it. A customer and an item are found by name
- `total`, or `amount` for what has no lines: compared with QuickBooks' total
- `lead_id`, `lead_name`, `number`, `lines`, `issued_on`, `received_on`: used by sentences about a
  fault, and to find a document by its customer and day
"""

from dataclasses import dataclass

from models.sales import RecordType

_LEAD = """
    SELECT lead.organization_id, lead.id,
           CASE WHEN lead.deleted_at IS NULL THEN 'save' ELSE 'void' END AS operation,
           jsonb_build_object(
               'title', lead.name,
               'needs', '[]'::jsonb,
               'name', lead.name,
               'quickbooks_name', lead.quickbooks_name,
               'given_name', lead.given_name,
               'family_name', lead.family_name,
               'company_name', lead.company_name,
               'email', lead.email,
               'phone', lead.phone,
               'street', lead.street,
               'city', lead.city,
               'state', lead.state,
               'postal_code', lead.postal_code
           ) AS payload
    FROM leads AS lead
"""

_PRODUCT = """
    SELECT product.organization_id, product.id, 'save' AS operation,
           jsonb_build_object(
               'title', product.name,
               'needs', '[]'::jsonb,
               'name', product.name,
               'quickbooks_name', product.quickbooks_name,
               'description', product.description,
               'unit_price', product.unit_price::text,
               'taxable', product.taxable
           ) AS payload
    FROM products AS product
"""

_INVOICE = """
    SELECT invoice.organization_id, invoice.id,
           CASE WHEN invoice.voided_at IS NULL THEN 'save' ELSE 'void' END AS operation,
           jsonb_build_object(
               'title', invoice.number,
               'needs', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', invoice.lead_id))
                   || coalesce(lines.products, '[]'::jsonb),
               'lead_id', invoice.lead_id,
               'lead_name', (SELECT lead.name FROM leads AS lead WHERE lead.id = invoice.lead_id),
               'number', invoice.number,
               'issued_on', invoice.issued_on,
               'due_on', invoice.due_on,
               'memo', invoice.memo,
               'mark', invoice.mark,
               'tax_rate', invoice.tax_rate::text,
               'subtotal', invoice.subtotal::text,
               'tax_amount', invoice.tax_amount::text,
               'total', invoice.total::text,
               'lines', coalesce(lines.lines, '[]'::jsonb)
           ) || CASE WHEN invoice.discount_amount = 0 THEN '{}'::jsonb ELSE jsonb_build_object(
               -- Only where there is one: snapshots from before discounts are equal without it.
               'discount_amount', invoice.discount_amount::text
           ) END AS payload
    FROM invoices AS invoice
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                   'product_id', line.product_id,
                   'product_name', (SELECT product.name FROM products AS product
                                    WHERE product.id = line.product_id),
                   'description', line.description,
                   'quantity', line.quantity::text,
                   'unit_price', line.unit_price::text,
                   'amount', line.amount::text,
                   'taxable', line.taxable
               ) ORDER BY line.position, line.id) AS lines,
               jsonb_agg(DISTINCT jsonb_build_object('type', 'product', 'id', line.product_id))
                   FILTER (WHERE line.product_id IS NOT NULL) AS products
        FROM invoice_lines AS line
        WHERE line.invoice_id = invoice.id
    ) AS lines
"""

_PAYMENT = """
    SELECT payment.organization_id, payment.id, 'save' AS operation,
           jsonb_build_object(
               'title', payment.amount::text,
               'needs', jsonb_build_array(
                   jsonb_build_object('type', 'lead', 'id', invoice.lead_id),
                   jsonb_build_object('type', 'invoice', 'id', payment.invoice_id)),
               'invoice_id', payment.invoice_id,
               'invoice_number', invoice.number,
               'lead_id', invoice.lead_id,
               'amount', payment.amount::text,
               'invoice_total', invoice.total::text,
               'paid_before', (
                   SELECT coalesce(sum(earlier.amount - earlier.refunded_amount), 0)::text
                   FROM payments AS earlier
                   WHERE earlier.invoice_id = payment.invoice_id AND earlier.id < payment.id),
               'method', payment.method,
               'through', CASE WHEN starts_with(payment.event_id, 'stripe:') THEN 'stripe' END,
               'received_on', payment.received_on,
               -- QuickBooks' own field for a reference holds our mark, by which it is found again.
               'note', concat_ws('. ', 'Check ' || nullif(payment.reference, ''),
                                 nullif(payment.note, '')),
               'mark', payment.mark,
               'refunded_amount', payment.refunded_amount::text
           ) || CASE WHEN invoice.voided_at IS NULL THEN '{}'::jsonb
                ELSE jsonb_build_object('invoice_is_void', true) END AS payload
    FROM payments AS payment
    JOIN invoices AS invoice ON invoice.id = payment.invoice_id
"""

_REFUND = """
    SELECT refund.organization_id, refund.id,
           CASE WHEN refund.voided_at IS NULL THEN 'save' ELSE 'void' END AS operation,
           jsonb_build_object(
               'title', refund.amount::text,
               'needs', jsonb_build_array(
                   jsonb_build_object('type', 'lead', 'id', invoice.lead_id),
                   jsonb_build_object('type', 'payment', 'id', refund.payment_id)),
               'payment_id', refund.payment_id,
               'invoice_number', invoice.number,
               'lead_id', invoice.lead_id,
               'amount', refund.amount::text,
               'paid_by', payment.method,
               'through', CASE WHEN starts_with(payment.event_id, 'stripe:') THEN 'stripe' END,
               'refunded_on', refund.refunded_on,
               'note', refund.note,
               'mark', refund.mark
           ) AS payload
    FROM goodwill_refunds AS refund
    JOIN payments AS payment ON payment.id = refund.payment_id
    JOIN invoices AS invoice ON invoice.id = payment.invoice_id
"""


@dataclass(frozen=True)
class Sending:
    """How the records of a type are sent."""

    snapshot: str  # a SELECT without WHERE. Its first FROM item is named after the type
    # Which writes make an entry, as SQL about a `snapshot` and a `lane`, besides "the organization
    # is in the US and its lane takes entries". "" if it follows another record.
    makes_entry: str = ""
    is_sent_when_created: bool = False  # a new record makes an entry even where a change would not
    # It is never sent without this one, whose id is in its payload and in its table.
    follows: RecordType | None = None
    # Which of them a person may send by hand, as SQL about a `record`; None: none of them.
    by_hand: str | None = None
    is_compared: bool = False  # changes made while disconnected are found afterwards


def known_to_lane(type_: RecordType, id_: str) -> str:
    """SQL: whether a lane has a record of this type with this id, or was asked to send it."""
    return f"""(
    EXISTS (SELECT FROM outbox_links AS link
            WHERE link.lane_id = lane.id AND link.aggregate_type = '{type_.value}'
              AND link.aggregate_id = {id_} AND link.remote_id IS NOT NULL)
    OR EXISTS (SELECT FROM outbox AS entry
               WHERE entry.lane_id = lane.id AND entry.aggregate_type = '{type_.value}'
                 AND entry.aggregate_id = {id_}))"""  # noqa: S608  (only constants of ours)


SENDING: dict[RecordType, Sending] = {
    RecordType.LEAD: Sending(
        _LEAD,
        makes_entry="true",
        by_hand="record.deleted_at IS NULL",
        is_compared=True,
    ),
    # Products are sent with the invoice that needs them; later changes are left to the firm in
    # QuickBooks. But a change that fixes what blocks an invoice is sent.
    RecordType.PRODUCT: Sending(
        _PRODUCT,
        makes_entry="""
        EXISTS (SELECT FROM outbox AS entry
                WHERE entry.lane_id = lane.id AND entry.aggregate_type = 'product'
                  AND entry.aggregate_id = snapshot.id
                  AND entry.state IN ('pending', 'failed', 'skipped'))
        AND NOT EXISTS (SELECT FROM outbox_links AS link
                        WHERE link.lane_id = lane.id AND link.aggregate_type = 'product'
                          AND link.aggregate_id = snapshot.id
                          AND link.remote_id IS NOT NULL)""",
    ),
    # Editing is not creating: changing an invoice that was never sent sends nothing.
    RecordType.INVOICE: Sending(
        _INVOICE,
        makes_entry=known_to_lane(RecordType.INVOICE, "snapshot.id"),
        is_sent_when_created=True,
        by_hand="record.voided_at IS NULL",
        is_compared=True,
    ),
    # A payment never causes its invoice to be sent, nor a refund its payment.
    RecordType.PAYMENT: Sending(
        _PAYMENT,
        follows=RecordType.INVOICE,
        by_hand="true",
        is_compared=True,
    ),
    RecordType.REFUND: Sending(
        _REFUND,
        follows=RecordType.PAYMENT,
        by_hand="record.voided_at IS NULL",
        is_compared=True,
    ),
}

SNAPSHOTS: dict[RecordType, str] = {type_: its.snapshot for type_, its in SENDING.items()}
# The first is never sent without the second.
FOLLOWS: dict[RecordType, RecordType] = {
    type_: its.follows for type_, its in SENDING.items() if its.follows
}
