"""HTTP requests that are repeated while a fault may pass, up to a deadline."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException

from errors import Code, StepError, redact

# Answers that say "not now" rather than "no".
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
# Longest answer read: model files take their own way (see download).
LONGEST_ANSWER = 64 * 2**20
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes

    def json(self) -> dict:
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {"items": found}

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def once(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """One request, no repetition. Raises OSError or HTTPException when there was no answer."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return Answer(answer.status, answer.read(LONGEST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(LONGEST_ANSWER))


def call(
    method: str,
    url: str,
    code: Code,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
    patience: float = 30,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """
    One request, repeated for at most `patience` seconds while nothing or a transient status comes back.
    Any other status is the caller's to judge. Raises StepError with `code` when the time is over.
    """
    deadline = time.monotonic() + patience
    attempt = 0
    while True:
        try:
            answer = once(method, url, body=body, headers=headers, timeout=timeout, context=context)
            if answer.status not in TRANSIENT:
                return answer
            problem = f"answered {answer.status} {answer.text()[:200]}"
        except (OSError, HTTPException) as error:
            problem = describe(error)
        pause = PAUSES[min(attempt, len(PAUSES) - 1)]
        attempt += 1
        if time.monotonic() + pause > deadline:
            raise StepError(
                code, f"{method} {without_query(url)} {problem}, {attempt} attempts in {patience:.0f} s"
            )
        time.sleep(pause)


def describe(error: BaseException) -> str:
    """What a failed connection says, without Python's wrapping."""
    reason = getattr(error, "reason", None) or error
    return redact(f"{type(reason).__name__} {reason}".strip())


def without_query(url: str) -> str:
    return redact(url.partition("?")[0])
