"""From the bytes of a picture to what the model takes: float32 [1, 3, 32, 32], RGB, 0 to 1."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SIZE = 32
#: Formats people have; every other decoder of Pillow stays out of reach of uploads.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
#: Decoded, a picture takes three to four bytes for each pixel.
MAX_PIXELS = 16_000_000


class BadPicture(ValueError):
    """The bytes are not a picture we can use; the message is for the person who sent it."""


def read_picture(data: bytes) -> np.ndarray:
    """Decodes a picture.

    :raises BadPicture: when it is none, is broken, or has too many pixels
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            # A JPEG is decoded at a fraction of its size: a photo of 50 megapixels costs no more than a small one.
            image.draft("RGB", (4 * SIZE, 4 * SIZE))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BadPicture(f"the picture has {width} x {height} pixels, more than {MAX_PIXELS}")
            upright = ImageOps.exif_transpose(image.convert("RGB"))
            small = ImageOps.fit(upright, (SIZE, SIZE), Image.Resampling.BILINEAR)
    except BadPicture:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadPicture(f"not a picture of a known kind ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to.
        raise BadPicture("the picture is broken") from error
    return to_input(np.asarray(small, dtype=np.float32) / 255)


def to_input(pixels: np.ndarray) -> np.ndarray:
    """``pixels`` is [height, width, 3], 0 to 1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)


def example_picture() -> np.ndarray:
    """A bowl of soup on a table, drawn: what ``/test`` classifies."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    distance = np.hypot(rows - SIZE / 2 + 0.5, columns - SIZE / 2 + 0.5)
    pixels = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    pixels[:] = (0.45, 0.40, 0.36)
    pixels[distance < 15] = (0.93, 0.92, 0.90)
    pixels[distance < 11.5] = (0.86, 0.42, 0.10)
    # Rings of cream.
    pixels[(distance < 11.5) & (np.sin(distance * 1.6) > 0.75)] = (0.94, 0.62, 0.30)
    return to_input(pixels)
