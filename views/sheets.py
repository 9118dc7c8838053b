"""Printing and downloading an invoice or proposal."""

from io import BytesIO
from typing import Any

import segno
from flask import Response, render_template, send_file, url_for
from markupsafe import Markup

from clients import pdf
from clients.links import link_of
from clients.paper import paper_of
from languages import LANGUAGES
from models.clients import ClientLink
from models.sales import Invoice, Proposal
from web.access import dunahub, session
from web.languages import language, reader, speaking
from web.paging import asked


def show_sheet(document: Invoice | Proposal, kind: str) -> str:
    """The page to print, in the requested language, which may differ from the person's own."""
    key: dict[str, Any] = {f"{kind}_id": document.id}
    with speaking(asked("language")):
        paper = paper_of(session(), document, reader())
        link = link_of(session(), document)
        return render_template(
            "print.html",
            paper=paper,
            back=url_for(f"{kind}s.show", **key),
            pdf=url_for(f"{kind}s.show_pdf", **key, language=language()),
            others={
                code: url_for(f"{kind}s.show_print", **key, language=code) for code in LANGUAGES
            },
            logo=url_for("settings.show_logo"),
            link=address_of(link) if link else "",
            code=code_of(address_of(link)) if link else "",
        )


def send_pdf(document: Invoice | Proposal, wanted_language: str) -> Response:
    """The PDF."""
    chosen = wanted_language if wanted_language in LANGUAGES else language()
    name, content = pdf_of(document, chosen)
    return send_file(
        BytesIO(content), mimetype="application/pdf", as_attachment=True, download_name=name
    )


def pdf_of(document: Invoice | Proposal, language_: str) -> tuple[str, bytes]:
    """File name and content."""
    link = link_of(session(), document)
    return pdf.file_of(session(), document, language_, address_of(link) if link else "")


def address_of(link: ClientLink) -> str:
    return f"{dunahub().config.base_url.rstrip('/')}/i/{link.token}"


def code_of(address: str) -> Markup:
    """The address as a QR code."""
    drawn = segno.make(address, error="m", micro=False).svg_inline(
        scale=3, border=1, svgclass="code", lineclass=None, omitsize=False
    )
    return Markup(drawn)  # nosec B704  # noqa: S704  (drawn by segno of our own address)
