"""The frozen snapshot of a record in an entry, read by SQL in the capturing statement.

It is read from the database, never from objects in memory, which may be stale after another
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
           ) AS payload
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

# One SELECT per record type, without WHERE. Its first FROM item is named after the type.
SNAPSHOTS: dict[RecordType, str] = {
    RecordType.LEAD: _LEAD,
    RecordType.PRODUCT: _PRODUCT,
    RecordType.INVOICE: _INVOICE,
    RecordType.PAYMENT: _PAYMENT,
    RecordType.REFUND: _REFUND,
}

TABLES: dict[RecordType, str] = {
    RecordType.LEAD: "leads",
    RecordType.PRODUCT: "products",
    RecordType.INVOICE: "invoices",
    RecordType.PAYMENT: "payments",
    RecordType.REFUND: "goodwill_refunds",
}
