"""Which requests are to meet which fault. Pure, but for the clock it is given.

A rule is a JSON object:
  service       keystone, nova, neutron, glance, placement or blazar; every one when absent
  method        GET, POST ...; every one when absent
  path          regular expression searched in path and query; every path when absent
  action        status: answer with `status` (503), `body` (text, or JSON) and `headers`
                delay: wait `milliseconds` (1000), then go on
                hang: no answer until the client gives up, or for `milliseconds`
                reset: the connection is cut
  forward       true: the service gets the request first, only its answer is lost
  skip          so many matching requests pass first (0)
  times         so many requests meet it (all)
  seconds       it ends so many seconds after the rules were set (never)
The first rule that matches is the one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ACTIONS = ("status", "delay", "hang", "reset")
FIELDS = {
    "service", "method", "path", "action", "status", "body", "headers", "milliseconds", "forward", "skip", "times", "seconds",
}  # fmt: skip


@dataclass
class Rules:
    raw: list[dict[str, Any]]
    now: Callable[[], float]
    # When the rules were set.
    began: float
    matched: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for rule in self.raw:
            unknown = rule.keys() - FIELDS
            if unknown or rule.get("action") not in ACTIONS:
                raise ValueError(f"not a rule: {rule} (unknown: {sorted(unknown)}, actions: {ACTIONS})")
            re.compile(rule.get("path", ""))
        self.matched = [0] * len(self.raw)

    def find(self, service: str, method: str, path: str) -> tuple[int, dict[str, Any]] | None:
        """The rule for a request, with its place in the list; counts the request."""
        for at, rule in enumerate(self.raw):
            if rule.get("service", service) != service or rule.get("method", method) != method:
                continue
            if not re.search(rule.get("path", ""), path):
                continue
            if "seconds" in rule and self.now() - self.began > rule["seconds"]:
                continue
            before = self.matched[at] - rule.get("skip", 0)
            if "times" in rule and before >= rule["times"]:
                continue
            self.matched[at] += 1
            if before >= 0:
                return at, rule
        return None
