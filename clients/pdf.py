"""The document as a PDF, attached to e-mails and downloaded at the secret address.

Uses fpdf2, which needs no system packages. It omits characters that the font does not have.
"""

import logging
import unicodedata
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import segno
from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos
from fpdf.fonts import TTFFont
from sqlalchemy.orm import Session

from clients.paper import Paper, PaperLine, firm_of, paper_of
from languages import N_, Reader, reader_of
from models.accounts import Organization
from models.sales import Invoice, Proposal

FONTS = Path(__file__).parent / "fonts"
FAMILY = "DejaVu"
MARGIN = 18.0  # millimetres
INK, MUTED, RULE, STAMP = (28, 32, 36), (95, 102, 109), (205, 207, 203), (180, 35, 24)
ACCENT, GOOD = (15, 118, 110), (23, 120, 63)
QR_SIZE = 26.0
LOGO_HEIGHT, LOGO_WIDTH = 18.0, 50.0
# Drawing takes about a second per 50,000 characters, and anyone with the link may ask for it.
MAX_SHEET = 60_000  # characters of all texts together; after that, each is cut to MIN_TEXT
MIN_TEXT = 60
ROW_LENGTH = 60  # characters that a line break counts as

# it warns about each character missing from the font
logging.getLogger("fpdf").setLevel(logging.ERROR)
logging.getLogger("fontTools").setLevel(logging.ERROR)


def file_of(
    session: Session, document: Invoice | Proposal, language: str, link: str
) -> tuple[str, bytes]:
    """File name and content of the document's PDF, on the paper size of its country."""
    reader = reader_of(language)
    organization = session.get_one(Organization, document.organization_id)
    paper = paper_of(session, document, reader)
    paper = replace(paper, firm=firm_of(session, organization, with_logo=True))
    format_ = "Letter" if organization.has_quickbooks else "A4"
    return f"{_plain(paper.title)}.pdf", draw(paper, reader, link=link, format_=format_)


def _plain(title: str) -> str:
    """A file name that is valid on every system."""
    return "".join(sign if sign.isalnum() or sign in " -_." else "-" for sign in title)


def draw(paper: Paper, reader: Reader, *, link: str = "", format_: str = "Letter") -> bytes:
    """The PDF's bytes. If `link` is given, the sheet shows the address and a QR code."""
    sheet = _Sheet(paper, reader, format_)
    sheet.head()
    sheet.client()
    sheet.lines()
    sheet.sums()
    sheet.message()
    if sheet.is_cut:
        sheet.say_cut(online=bool(link))
    if link:
        sheet.pay_link(link)
    return bytes(sheet.output())


class _Sheet(FPDF):
    def __init__(self, paper: Paper, reader: Reader, format_: str) -> None:
        super().__init__(format=format_)
        self.paper, self.say = paper, reader.say
        self.room, self.is_cut = MAX_SHEET, False
        self.set_lang(reader.language.replace("_", "-"))
        self.set_title(paper.title)
        self.set_author(paper.firm.name)
        self.add_font(FAMILY, "", FONTS / "DejaVuSansCondensed.ttf")
        self.add_font(FAMILY, "B", FONTS / "DejaVuSansCondensed-Bold.ttf")
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN + 6)
        self.add_page()

    def footer(self) -> None:
        self.set_y(-MARGIN)
        self._ink(MUTED, 8)
        page = self.say(N_("Page %(number)s")) % {"number": self.page_no()}
        self.cell(0, 4, f"{self.paper.firm.name} · {self.paper.title} · {page}", align="C")

    def head(self) -> None:
        """The firm on the left, the document on the right."""
        top, half = self.get_y(), self.epw / 2
        if self.paper.firm.logo:
            self.image(
                BytesIO(self.paper.firm.logo),
                x=MARGIN,
                y=top,
                w=LOGO_WIDTH,
                h=LOGO_HEIGHT,
                keep_aspect_ratio=True,
            )
            self.set_y(top + LOGO_HEIGHT + 3)
        firm = self.paper.firm
        self._text(firm.name, half, size=13, bold=True)
        about = [firm.address, firm.phone, firm.email]
        if firm.license_number:
            about.append(self.say(N_("License %(number)s")) % {"number": firm.license_number})
        for part in filter(None, about):
            self._text(part, half, colour=MUTED)
        left_end = self.get_y()
        self.set_y(top)
        self._right(self.paper.title, size=16, bold=True)
        if self.paper.reference:
            reference = self.say(N_("Our reference %(number)s")) % {"number": self.paper.reference}
            self._right(reference, colour=MUTED)
        for day in self.paper.dates:
            self._right(day, colour=MUTED)
        if self.paper.due and not self.paper.stamp:
            self.ln(2)
            self._right(self.say(N_("Amount due")), colour=MUTED)
            self._right(self.paper.due, size=18, bold=True)
        if self.paper.stamp:
            self.ln(2)
            self._right(
                self.paper.stamp,
                size=14,
                bold=True,
                colour=GOOD if self.paper.is_good_news else STAMP,
            )
        self.set_y(max(left_end, self.get_y()) + 8)

    def client(self) -> None:
        self._text(self.say(N_("For")), self.epw, size=9, colour=MUTED)
        for place, part in enumerate(self.paper.client):
            self._text(part, self.epw, bold=place == 0)
        if self.paper.about:
            self.ln(4)
            self._text(self.paper.about, self.epw, size=12, bold=True)
        self.ln(6)

    def lines(self) -> None:
        widths = (self.epw - 82, 22.0, 30.0, 30.0)
        heads = (N_("Service"), N_("Quantity"), N_("Price"), N_("Amount"))
        self._ink(MUTED, 9)
        for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
            self.cell(width, 6, self.say(head), align="R" if place else "L")
        self.ln(7)
        self._rule()
        for line in self.paper.lines:
            self._line(line, widths)
        self._rule()

    def _line(self, line: PaperLine, widths: tuple[float, ...]) -> None:
        width = widths[0] - 2
        title = self._rows(line.title, width, size=10, bold=True)
        description = self._rows(line.description, width, size=9) if line.description else []
        # keep a line on one page, unless it fills a whole page
        height = 3 + 5 * len(title) + 4.5 * len(description)
        if self.get_y() + height > self.page_break_trigger and self.get_y() > MARGIN + 20:
            self.add_page()
        self.ln(2)
        top = self.get_y()
        self._ink(INK, 10, bold=True)
        values = (line.quantity, line.price, line.amount)
        for place, value in enumerate(values):
            self.set_xy(MARGIN + sum(widths[: place + 1]), top)
            self._ink(INK, 10, bold=place == 2)
            self.cell(widths[place + 1], 5, value, align="R")
        self.set_xy(MARGIN, top)
        self._ink(INK, 10, bold=True)
        self._draw_rows(title, 5)
        self._ink(MUTED, 9)
        self._draw_rows(description, 4.5)
        self.ln(1)

    def sums(self) -> None:
        self.ln(2)
        rows = list(self.paper.sums)
        if self.paper.paid:
            rows.append((self.say(N_("Already paid")), f"−{self.paper.paid}"))
        if self.paper.due:
            rows.append((self.say(N_("Amount due")), self.paper.due))
        strong = {len(self.paper.sums) - 1, len(rows) - 1}
        for place, (label, value) in enumerate(rows):
            is_strong = place in strong
            self._ink(INK if is_strong else MUTED, 10, bold=is_strong)
            self.cell(self.epw - 34, 6, label, align="R")
            self._ink(INK, 10, bold=is_strong)
            self.cell(34, 6, value, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def message(self) -> None:
        if self.paper.message:
            self.ln(6)
            self._text(self.paper.message, self.epw)

    def say_cut(self, *, online: bool) -> None:
        self.ln(6)
        shortened = N_("Long texts are shortened here.")
        complete = N_("Long texts are shortened here. They are complete at the address below.")
        self._text(self.say(complete if online else shortened), self.epw, size=9, colour=MUTED)

    def pay_link(self, address: str) -> None:
        if self.get_y() + QR_SIZE + 8 > self.page_break_trigger:
            self.add_page()
        self.ln(8)
        top = self.get_y()
        image = BytesIO()
        segno.make(address, error="m", micro=False).save(image, kind="png", scale=8, border=1)
        self.image(image, x=MARGIN, y=top, w=QR_SIZE, h=QR_SIZE)
        invites = (
            N_("Pay or see this online") if self.paper.takes_payments else N_("See this online")
        )
        self.set_xy(MARGIN + QR_SIZE + 4, top + 6)
        self._ink(INK, 10, bold=True)
        self.cell(0, 5, self.say(invites), new_x=XPos.LEFT, new_y=YPos.NEXT)
        self._ink(ACCENT, 9)
        self.multi_cell(self.epw - QR_SIZE - 4, 5, address, link=address, align="L")
        self.set_y(top + QR_SIZE)

    # --- Small parts ------------------------------------------------------------------------------

    def _ink(self, colour: tuple[int, int, int], size: float, *, bold: bool = False) -> None:
        self.set_font(FAMILY, "B" if bold else "", size)
        self.set_text_color(*colour)

    def _text(
        self,
        text: str,
        width: float,
        *,
        size: float = 10,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
    ) -> None:
        self._ink(colour, size, bold=bold)
        text = self._drawn(text)
        self.multi_cell(width, size * 0.5, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _rows(self, text: str, width: float, *, size: float, bold: bool = False) -> list[str]:
        """The text broken into rows of this width."""
        self._ink(INK, size, bold=bold)
        found = self.multi_cell(
            width, size * 0.5, self._drawn(text), dry_run=True, output=MethodReturnValue.LINES
        )
        assert isinstance(found, list)
        return found

    def _draw_rows(self, rows: list[str], height: float) -> None:
        for row in rows:
            self.cell(0, height, row, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _drawn(self, text: str) -> str:
        """The part of a text that can be drawn in reasonable time, in the current font.

        fpdf2 measures a row again with each character, so a row of characters without width, or
        that the font doesn't have, would take minutes.
        """
        font = self.current_font
        assert isinstance(font, TTFFont)
        text = unicodedata.normalize("NFC", text).replace("\t", " ")
        text = "".join(sign for sign in text if sign == "\n" or font.cw.get(ord(sign), 1) > 0)
        room = most = max(MIN_TEXT, self.room)
        for place, sign in enumerate(text):
            room -= ROW_LENGTH if sign == "\n" else 1
            if room < 0:
                text, room, self.is_cut = text[:place].rstrip() + "…", 0, True
                break
        self.room -= most - room
        return text

    def _right(
        self,
        text: str,
        *,
        size: float = 10,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
    ) -> None:
        half = self.epw / 2
        self._ink(colour, size, bold=bold)
        self.set_x(MARGIN + half)
        self.multi_cell(
            half, size * 0.5, self._drawn(text), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )

    def _rule(self) -> None:
        self.set_draw_color(*RULE)
        self.line(MARGIN, self.get_y(), MARGIN + self.epw, self.get_y())
