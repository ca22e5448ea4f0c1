"""
What ran where, when, why and by whom: LedgerEntry objects, written once and never changed.

A stage runs the `to` of its last `deployed` or `reverted` entry. A `started` entry without a later closing
one of the same change is a change that ended in the middle.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cluster import Cluster, Conflict, lookup
from errors import shorten

GROUP = "gourmetgram.dev"
API = f"{GROUP}/v1"

STARTED = "started"
DEPLOYED = "deployed"
REVERTED = "reverted"
FAILED = "failed"
APPROVED = "approved"
REJECTED = "rejected"
FROZEN = "frozen"
UNFROZEN = "unfrozen"
CLOSING = frozenset({DEPLOYED, REVERTED, FAILED})


@dataclass(frozen=True)
class Running:
    """A version of the application and the digest of its image; both empty: nothing runs."""

    version: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.version} ({self.digest[:19]})" if self.version else "nothing"


NOTHING = Running()


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    stage: str
    action: str
    change: str
    origin: Running = NOTHING
    to: Running = NOTHING
    reason: str = ""
    by: str = ""
    workflow: str = ""
    name: str = ""

    @property
    def nanoseconds(self) -> int:
        return int(self.name.rpartition("-")[2] or 0)


class Ledger:
    """The entries in the cluster. This side only reads and adds."""

    def __init__(self, cluster: Cluster, namespace: str, clock=time.time_ns):
        self.cluster = cluster
        self.path = f"/apis/{API}/namespaces/{namespace}/ledgerentries"
        self.namespace = namespace
        self.clock = clock

    def entries(self, stage: str) -> list[Entry]:
        """Oldest first."""
        objects = self.cluster.list(self.path, fieldSelector=f"spec.stage={stage}")
        return sorted((parse(found) for found in objects), key=lambda entry: entry.nanoseconds)

    def append(self, entry: Entry) -> Entry:
        """Adds an entry that comes after all there are, also where the clocks of two nodes differ."""
        known = self.entries(entry.stage)
        stamp = max(self.clock(), known[-1].nanoseconds + 1 if known else 0)
        while True:
            named = replace(entry, name=f"{entry.stage}-{stamp}")
            body = render(named, self.namespace, stamp)
            try:
                self.cluster.create(self.path, body)
                return named
            except Conflict:
                # Ours, when an answer was lost; otherwise somebody else had the same nanosecond.
                mine = self.cluster.get(f"{self.path}/{named.name}")
                if mine is not None and lookup(mine, "spec") == body["spec"]:
                    return named
                stamp += 1


def parse(found: dict) -> Entry:
    spec = found.get("spec") or {}
    running = {
        field: Running(str(lookup(spec, field, "version") or ""), str(lookup(spec, field, "digest") or ""))
        for field in ("from", "to")
    }
    texts = {
        key: str(spec.get(key) or "") for key in ("stage", "action", "change", "reason", "by", "workflow")
    }
    return Entry(
        origin=running["from"], to=running["to"], name=str(lookup(found, "metadata", "name") or ""), **texts
    )


def render(entry: Entry, namespace: str, stamp: int) -> dict:
    at = datetime.fromtimestamp(stamp / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": API,
        "kind": "LedgerEntry",
        "metadata": {
            "name": entry.name,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/name": "ledger",
                "app.kubernetes.io/part-of": "gourmetgram",
                f"{GROUP}/stage": entry.stage,
            },
        },
        "spec": {
            "stage": entry.stage,
            "action": entry.action,
            "change": entry.change,
            "from": {"version": entry.origin.version, "digest": entry.origin.digest},
            "to": {"version": entry.to.version, "digest": entry.to.digest},
            "reason": shorten(entry.reason),
            "by": entry.by,
            "workflow": entry.workflow,
            "at": at,
        },
    }


def history(entries: Sequence[Entry]) -> list[Running]:
    """
    What a stage ran, oldest first, last what it runs now. A revert takes away what it went back over, so that
    the next one goes further back instead of forth again.
    """
    found: list[Running] = []
    for entry in entries:
        if entry.action == REVERTED and entry.to == NOTHING:
            found.clear()
        elif entry.action == REVERTED and entry.to in found:
            last = len(found) - 1 - found[::-1].index(entry.to)
            del found[last + 1 :]
        elif entry.action in (DEPLOYED, REVERTED) and (not found or found[-1] != entry.to):
            found.append(entry.to)
    return found


def current(entries: Sequence[Entry]) -> Running | None:
    """What a stage runs, None when nothing was ever deployed."""
    found = history(entries)
    return found[-1] if found else None


def verdict(entries: Sequence[Entry], running: Running) -> str | None:
    """
    `approved` or `rejected`: the last judgement on what runs or ran in a stage, None when there is none.
    """
    found = [
        entry.action for entry in entries if entry.action in (APPROVED, REJECTED) and entry.to == running
    ]
    return found[-1] if found else None


def rejected_because(entries: Sequence[Entry], running: Running, workflow: str | None = None) -> str:
    """What was wrong with a version, in the words of the gates or of a person; empty when nobody said."""
    found = [
        entry.reason
        for entry in entries
        if entry.action == REJECTED and entry.to == running and workflow in (None, entry.workflow)
    ]
    # The same gate says the same thing again when its step is repeated.
    return "; ".join(dict.fromkeys(found[-3:]))


def previous(entries: Sequence[Entry]) -> Running | None:
    """What a revert goes back to: what ran before and was not rejected, also when the one before that was."""
    found = history(entries)
    for candidate in reversed(found[:-1]):
        if candidate != found[-1] and verdict(entries, candidate) != REJECTED:
            return candidate
    return None


def unfinished(entries: Sequence[Entry]) -> list[Entry]:
    """The `started` entries of changes that never came to an end, oldest first."""
    open_changes: dict[str, Entry] = {}
    for entry in entries:
        if entry.action == STARTED:
            open_changes[entry.change] = entry
        elif entry.action in CLOSING:
            open_changes.pop(entry.change, None)
    return list(open_changes.values())


def is_frozen(entries: Sequence[Entry]) -> bool:
    found = [entry.action for entry in entries if entry.action in (FROZEN, UNFROZEN)]
    return bool(found) and found[-1] == FROZEN


def frozen_because(entries: Sequence[Entry]) -> str:
    """Who froze a stage and why."""
    found = [entry for entry in entries if entry.action == FROZEN]
    return f"{found[-1].reason or 'no reason given'} ({found[-1].by or 'unknown'})" if found else ""
