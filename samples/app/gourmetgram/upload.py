"""Reads the one file of a multipart form into memory, and no more of it than allowed."""

from collections.abc import AsyncGenerator

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

#: Name of the form's field.
FIELD = "file"
#: What boundaries and headers of the form may take beside the file.
_FORM_OVERHEAD = 4096


class BadUpload(ValueError):
    """Nothing we can read a picture from; the message is for the person who sent it."""


class UploadTooLarge(ValueError):
    """More bytes than allowed."""


async def read_upload(request: Request, limit: int) -> bytes:
    """The bytes of the field ``file``.

    :param limit: largest file, in bytes
    :raises UploadTooLarge: as soon as more has arrived
    :raises BadUpload: when the request is no form, or holds no file
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadUpload(f"send a form (multipart/form-data) with a file in the field {FIELD}")
    stream = _limited(request, limit + _FORM_OVERHEAD)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=8)
    # Above this size the parser would write to a file.
    parser.spool_max_size = limit + _FORM_OVERHEAD
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        raise BadUpload(f"the form is broken: {error}") from error
    try:
        upload = form.get(FIELD)
        if not isinstance(upload, UploadFile):
            raise BadUpload(f"the form holds no file in the field {FIELD}")
        data = await upload.read()
    finally:
        await form.close()
    if len(data) > limit:
        raise UploadTooLarge
    if not data:
        raise BadUpload("the file is empty")
    return data


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    arrived = 0
    async for chunk in request.stream():
        arrived += len(chunk)
        if arrived > limit:
            raise UploadTooLarge
        yield chunk
