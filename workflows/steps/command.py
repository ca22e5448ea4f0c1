"""
Other programs, with a deadline and a bounded log. Secrets reach them by files and environment, never as
arguments.
"""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import redact

# Lines of output shown while a program runs; its last ones are kept for the error.
SHOWN_LINES = 400
KEPT_LINES = 30
LONGEST_LINE = 400


@dataclass(frozen=True)
class Ended:
    """How a program ended. `status` is None when it ran out of time."""

    status: int | None
    output: str
    errors: str


def run(
    arguments: Sequence[str],
    *,
    timeout: float,
    show: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """
    Runs a program to its end, or ends it (its children too) after `timeout` seconds. With `show` its stderr
    is printed as it comes.
    """
    process = subprocess.Popen(
        list(arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    output: list[str] = []
    last: deque[str] = deque(maxlen=KEPT_LINES)
    readers = [
        threading.Thread(target=lambda: output.append(process.stdout.read(2**20)), daemon=True),
        threading.Thread(target=lambda: follow(process.stderr, last, show), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        status: int | None = process.wait(timeout)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        # Also when this step is told to end: nothing it started outlives it.
        if process.poll() is None:
            end(process)
    for reader in readers:
        reader.join(5)
    process.stdout.close()
    process.stderr.close()
    return Ended(status, "".join(output), redact("\n".join(last)))


def follow(stream, last: deque[str], show: bool) -> None:
    shown = 0
    for line in stream:
        text = redact(line.rstrip())[:LONGEST_LINE]
        if text:
            last.append(text)
        if show and text and shown <= SHOWN_LINES:
            print(text if shown < SHOWN_LINES else "... more is not shown", flush=True)
            shown += 1


def end(process: subprocess.Popen) -> None:
    for sign, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
