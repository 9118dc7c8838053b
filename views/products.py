"""Products and services used in lines of proposals and invoices."""

from decimal import Decimal

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from wtforms import BooleanField

from db import breaks
from languages import N_
from models.sales import Product, RecordType
from presenters.panel import fix_of
from web import once
from web.access import firm, firms_only, own, session
from web.forms import EditForm, NumberField, area, line
from web.languages import _
from web.lines import MAX_PRICE
from web.paging import asked, containing, page_of

products = Blueprint("products", __name__, url_prefix="/products")
products.before_request(firms_only)

MAX_NAME_LENGTH = 200  # names have a unique index, and an index entry has a size limit


class ProductForm(EditForm):
    name = line(N_("Name"), required=N_("What do you call it?"), most=MAX_NAME_LENGTH)
    description = area(N_("Description"))
    unit_price = NumberField(
        N_("Price"),
        decimals=4,
        shown=2,
        most=MAX_PRICE,
        least=Decimal(0),
        required=N_("What does one cost?"),
    )
    taxable = BooleanField(N_("Taxable"))
    active = BooleanField(N_("Offered on new lines"), default=True)

    def columns(self) -> frozenset[str]:
        return frozenset("name description unit_price taxable active".split())


@products.get("")
def index() -> ResponseReturnValue:
    wanted = asked("q")
    query = select(Product).where(Product.organization_id == firm().id)
    if wanted:
        query = query.where(containing(wanted, Product.name, Product.description))
    return render_template("products/index.html", page=page_of(query, Product.id), wanted=wanted)


@products.get("/new")
def show_new() -> ResponseReturnValue:
    return render_template(
        "products/form.html",
        form=ProductForm(data={"taxable": bool(firm().tax_rate)}),
        product=None,
    )


@products.post("")
def create() -> ResponseReturnValue:
    if saved := once.saved_before():
        return saved
    product, form = Product(organization_id=firm().id), ProductForm(request.form)
    if not (form.validate() and _write(product, form)):
        return render_template("products/form.html", form=form, product=None), 422
    once.remember(url_for("products.index"))
    session().commit()
    flash(_("%(name)s is saved.", name=product.name), "good")
    return redirect(url_for("products.index"), 303)


@products.get("/<key:product_id>/edit")
def show_edit(product_id: int) -> ResponseReturnValue:
    product = own(Product, product_id)
    form = ProductForm.showing(product)
    return render_template(
        "products/form.html",
        form=form,
        product=product,
        **fix_of(RecordType.PRODUCT, product.id, asked("fix")),
    )


@products.post("/<key:product_id>")
def update(product_id: int) -> ResponseReturnValue:
    product, form = own(Product, product_id), ProductForm(request.form)
    if not (form.validate() and _write(product, form)):
        return render_template(
            "products/form.html",
            form=form,
            product=product,
            **fix_of(RecordType.PRODUCT, product.id, asked("fix")),
        ), 422
    session().commit()
    flash(_("%(name)s is saved.", name=product.name), "good")
    return redirect(url_for("products.index"), 303)


def _write(product: Product, form: ProductForm) -> bool:
    """Whether the name was free, as decided by the unique index."""
    try:
        with session().begin_nested():
            form.apply_to(product)
            session().add(product)
    except IntegrityError as problem:
        if not breaks(problem, "uq_products_organization_id_name"):
            raise
        form.name.errors = [_("Another product or service has this name.")]
        return False
    return True
