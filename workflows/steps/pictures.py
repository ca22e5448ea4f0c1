"""
Pictures for questions to the application: PNG, made here, so that a gate needs no files and every run asks
the same.
"""

import struct
import uuid
import zlib

SIZE = 64
# One for each question of the integration gate: bread, egg, meat, rice and vegetable, as far as a colour can
# say.
COLOURS = ((204, 153, 89), (247, 217, 64), (128, 46, 31), (224, 224, 224), (77, 166, 56))


def picture(colour: tuple[int, int, int], size: int = SIZE) -> bytes:
    """A disc of a colour on a grey plate."""
    rows = []
    for y in range(size):
        row = bytearray(b"\0")
        for x in range(size):
            inside = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (size / 2.5) ** 2
            row += bytes(colour) if inside else bytes((200, 200, 205))
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def form(data: bytes) -> tuple[bytes, dict[str, str]]:
    """A multipart form with the picture in the field `file`, and its headers."""
    boundary = uuid.uuid4().hex
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="picture.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
