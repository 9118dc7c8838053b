"""A firm's logo: whatever picture it has becomes a small PNG without anything else in it."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

LARGEST_FILE = 2 * 1024 * 1024
LARGEST_SIDE = 8_000  # pixels; more is a picture made to fill our memory
SHOWN = (600, 216)  # pixels: 50 × 18 mm on paper at 300 dpi


class NoPicture(Exception):
    """The file is no PNG, JPEG, GIF or WebP that can be read, or too large."""


@dataclass(frozen=True)
class Logo:
    png: bytes
    digest: str


def logo_from(file: bytes) -> Logo:
    """The picture of an uploaded file, drawn anew and made small. Raises NoPicture."""
    if not file or len(file) > LARGEST_FILE:
        raise NoPicture
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in the file
            with Image.open(BytesIO(file), formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
                if max(picture.size) > LARGEST_SIDE:
                    raise NoPicture
                drawn = picture.convert("RGBA")
                drawn.thumbnail(SHOWN)
                target = BytesIO()
                drawn.save(target, "PNG", optimize=True)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise NoPicture from None
    png = target.getvalue()
    return Logo(png, hashlib.sha256(png).hexdigest()[:16])
