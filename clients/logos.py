"""Converts a firm's logo to a small PNG without metadata."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_SIDE = 8_000  # pixels; larger images are likely meant to exhaust memory
MAX_PIXELS = 20_000_000  # 80 MB while it is decoded; a phone's photo has 12 million
LOGO_SIZE = (600, 216)  # pixels: 50 × 18 mm on paper at 300 dpi


class NoPicture(Exception):
    """The file is too large, or not a readable PNG, JPEG, GIF or WebP."""


@dataclass(frozen=True)
class Logo:
    png: bytes
    digest: str


def logo_from(file: bytes) -> Logo:
    """Decodes an uploaded image, scales it down and encodes it as PNG. Raises NoPicture."""
    if not file or len(file) > MAX_FILE_BYTES:
        raise NoPicture
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities in the file
            with Image.open(BytesIO(file), formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
                width, height = picture.size
                if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                    raise NoPicture
                drawn = picture.convert("RGBA")
                drawn.thumbnail(LOGO_SIZE)
                target = BytesIO()
                drawn.save(target, "PNG", optimize=True)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise NoPicture from None
    png = target.getvalue()
    return Logo(png, hashlib.sha256(png).hexdigest()[:16])
