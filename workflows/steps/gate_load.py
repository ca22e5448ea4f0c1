"""Gate: the stage answers many people at once, fast enough and nearly always."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from errors import Code, StepError
from gates import Report, gate, predict
from ledger import Running
from pictures import COLOURS, picture
from step import Step


@dataclass(frozen=True)
class Shot:
    """One request: how long it took, and why it failed, if it did."""

    seconds: float
    problem: str = ""


def body(step: Step, stage: str, running: Running, report: Report) -> None:
    settings = step.settings
    count, threads = settings.whole("LOAD_REQUESTS"), settings.whole("LOAD_CONCURRENCY")
    limit, least = settings.number("LOAD_P95_MS"), settings.number("LOAD_SUCCESS")
    address = step.stages.address(stage)
    step.stages.expect_version(address, step.stages.live_version(address), running)
    pictures = [picture(colour) for colour in COLOURS]
    # A request that takes longer than this decides the gate already.
    patience = 5 * limit / 1000
    deadline = time.monotonic() + max(10.0, step.budget.left() - 10)
    verdict = Verdict(count, limit / 1000, least)

    def shoot(index: int) -> Shot | None:
        start = time.monotonic()
        if verdict.is_certain or start > deadline:
            return None
        try:
            predict(address, pictures[index % len(pictures)], timeout=patience)
            return verdict.note(Shot(time.monotonic() - start))
        except StepError as error:
            return verdict.note(Shot(time.monotonic() - start, error.message))

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        shots = [shot for shot in pool.map(shoot, range(count)) if shot is not None]
    report.found |= summarize(shots, time.monotonic() - began)
    judge(report.found, least, limit)
    if len(shots) < count:
        raise StepError(Code.TooSlow, f"{len(shots)} of {count} requests were made in the time of the gate")


class Verdict:
    """
    Whether the requests that are left can still change the outcome: a failing version is not asked to the
    end.
    """

    def __init__(self, count: int, limit: float, least: float):
        self.lock = threading.Lock()
        self.allowed_slow = count * 0.05
        self.allowed_failed = count * (1 - least)
        self.limit = limit
        self.slow = 0
        self.failed = 0

    @property
    def is_certain(self) -> bool:
        return self.slow > self.allowed_slow or self.failed >= self.allowed_failed

    def note(self, shot: Shot) -> Shot:
        with self.lock:
            self.slow += shot.seconds >= self.limit
            self.failed += bool(shot.problem)
        return shot


def summarize(shots: list[Shot], seconds: float) -> dict[str, object]:
    """Numbers of a run; times in milliseconds, of all requests, as a failed one was waited for as well."""
    times = sorted(shot.seconds * 1000 for shot in shots)
    problems = Counter(shot.problem for shot in shots if shot.problem)
    return {
        "requests": len(shots),
        "success": round(1 - sum(problems.values()) / len(shots), 4),
        "p50": round(percentile(times, 0.50)),
        "p90": round(percentile(times, 0.90)),
        "p95": round(percentile(times, 0.95)),
        "p99": round(percentile(times, 0.99)),
        "max": round(times[-1]),
        "perSecond": round(len(shots) / max(seconds, 0.001), 1),
        "problems": dict(problems.most_common(3)),
    }


def percentile(ordered: list[float], part: float) -> float:
    """The smallest value that at least this part of all do not exceed (nearest rank)."""
    rank = max(1, -(-len(ordered) * round(part * 100) // 100))
    return ordered[rank - 1]


def judge(found: dict, least: float, limit: float) -> None:
    if found["success"] <= least:
        raise StepError(
            Code.TooManyErrors,
            f"{found['success']:.1%} of {found['requests']} requests succeeded, more than {least:.0%} must: "
            f"{', '.join(found['problems'])}",
        )
    if found["p95"] >= limit:
        raise StepError(
            Code.TooSlow, f"95 % of the requests take up to {found['p95']} ms, less than {limit:.0f} must"
        )


if __name__ == "__main__":
    gate(body)
