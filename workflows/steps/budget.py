"""Time a step may take: it gives up in order, before its pod is ended from outside."""

import time

from errors import Code, StepError


class Budget:
    """Seconds left, from the start of the step."""

    def __init__(self, seconds: float, clock=time.monotonic):
        self.clock = clock
        self.deadline = clock() + seconds

    def left(self) -> float:
        return max(0.0, self.deadline - self.clock())

    def part(self, wanted: float, reserve: float = 0.0) -> float:
        """
        At most `wanted` seconds, leaving `reserve` for what comes after; never less than a short attempt.
        """
        return max(5.0, min(wanted, self.left() - reserve))

    def check(self, what: str) -> None:
        if self.left() <= 0:
            raise StepError(Code.RolloutTimeout, f"no time is left to {what}")
