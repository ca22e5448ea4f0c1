"""
The promotion protocol: how a stage comes to run another version, and how it comes back when that fails.

recover what was left unfinished -> guard -> ledger `started` -> tag the image by digest -> let the
Application ask for it -> wait until it is Synced, Healthy and every pod runs it -> smoke -> aliases -> ledger
`deployed` or `reverted`. Any failure: the Application asks for the old version again, that one is waited for,
the aliases say so -> ledger `failed` with the reason.

Each part can be repeated. A step that dies anywhere leaves at most an open `started` entry, and `recover`, in
`settle` or in the next change, brings the stage back from there.
"""

from dataclasses import dataclass

import ledger as book
from budget import Budget
from errors import Code, StepError
from images import Images
from ledger import NOTHING, Entry, Ledger, Running
from mlflow_registry import ModelRegistry
from settings import Settings, model_version_of
from stages import Stages

# Time kept for putting back, and for the last entries.
RESERVE_SECONDS = 30.0


@dataclass(frozen=True)
class Change:
    """What is asked for."""

    stage: str
    to: Running
    id: str
    # `deployed` or `reverted`: what the ledger says when it is done.
    action: str = book.DEPLOYED
    reason: str = ""
    by: str = ""
    workflow: str = ""

    def entry(self, action: str, origin: Running, reason: str | None = None) -> Entry:
        return Entry(
            stage=self.stage,
            action=action,
            change=self.id,
            origin=origin,
            to=self.to,
            reason=self.reason if reason is None else reason,
            by=self.by,
            workflow=self.workflow,
        )


class Promotion:
    """Changes of stages."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        stages: Stages,
        models: ModelRegistry,
        images: Images,
        budget: Budget,
    ):
        self.settings = settings
        self.ledger = ledger
        self.stages = stages
        self.models = models
        self.images = images
        self.budget = budget
        # Whether a change was started, so that its end is written by whoever ends it.
        self.begun = False

    @property
    def rollout_seconds(self) -> float:
        return self.settings.number("ROLLOUT_SECONDS")

    # Coming back.

    def recover(self, stage: str, reason: str = "its step ended in the middle") -> list[Entry]:
        """Puts back every change of the stage that never came to an end; returns their `started` entries."""
        left = book.unfinished(self.ledger.entries(stage))
        for started in reversed(left):
            self.put_back(started, f"{Code.Interrupted}: {reason}", final=True)
        return left

    def correct_aliases(self, stage: str) -> None:
        """
        Lets the aliases say what the ledger says, whatever an earlier step could not do because MLflow was
        away.
        """
        self.models.set_aliases(aliases_for(stage, self.ledger.entries(stage)))

    def put_back(self, started: Entry, reason: str, *, final: bool) -> None:
        """
        Ends a change by going back to what it came from. Does nothing when the change has ended already.
        `final`: the entry is closed even when the old version is not seen healthy or MLflow does not answer;
        otherwise that is left to `settle`.
        """
        if not self.is_open(started):
            return
        stage, back = started.stage, started.origin
        print(f"putting {stage} back to {back}: {reason}", flush=True)
        self.stages.set(stage, back, lambda: self.is_open(started))
        notes: list[str] = []
        patience = self.budget.part(self.rollout_seconds, 10)
        steps = (
            lambda: self.stages.wait_serving(stage, back, patience, back=True),
            lambda: self.models.set_aliases(aliases_for(stage, self.ledger.entries(stage))),
        )
        for step in steps:
            try:
                step()
            except StepError as error:
                if not final:
                    raise
                notes.append(f"put back, but {error}")
        self.ledger.append(
            Entry(
                stage=stage,
                action=book.FAILED,
                change=started.change,
                origin=back,
                to=started.to,
                reason="; ".join([reason, *notes]),
                by=started.by,
                workflow=started.workflow,
            )
        )

    def is_open(self, started: Entry) -> bool:
        return any(
            entry.name == started.name for entry in book.unfinished(self.ledger.entries(started.stage))
        )

    # Going forward.

    def apply(self, change: Change) -> None:
        """
        Lets the stage run `change.to`; on failure it runs what it ran before, and the failure is raised.
        """
        stage, to = change.stage, change.to
        entries = self.ledger.entries(stage)
        origin = book.current(entries) or self.stages.wanted(stage)
        started = self.ledger.append(change.entry(book.STARTED, origin))
        self.begun = True
        try:
            if to != NOTHING:
                self.images.tag(to.digest, f"{stage}-{to.version}")
            self.stages.set(stage, to, lambda: self.is_open(started))
            print(f"{stage}: {origin} -> {to}", flush=True)
            # As much time is kept for the way back as for the way there.
            half = (self.budget.left() - RESERVE_SECONDS) / 2
            self.stages.wait_serving(stage, to, self.budget.part(self.rollout_seconds, half))
            gated = stage == self.settings.stages[0] and change.action == book.DEPLOYED
            self.stages.smoke(stage, to, judged=not gated)
            if not self.is_open(started):
                raise StepError(Code.Superseded, f"the change of {stage} was ended by another step")
            done = change.entry(change.action, origin)
            self.models.set_aliases(aliases_for(stage, [*entries, started, done]))
            self.ledger.append(done)
        except StepError as error:
            try:
                self.put_back(started, str(error), final=False)
            except StepError as second:
                print(f"left to settle: {second}", flush=True)
            if self.has_ended_well(started, change.action):
                return
            raise
        print(f"{stage} serves {to}", flush=True)

    def has_ended_well(self, started: Entry, action: str) -> bool:
        """Whether the last entry was written although its answer was lost."""
        try:
            entries = self.ledger.entries(started.stage)
        except StepError:
            return False
        after = [entry for entry in entries if entry.nanoseconds > started.nanoseconds]
        return any(entry.change == started.change and entry.action == action for entry in after)

    def refuse(self, change: Change, error: StepError) -> None:
        """Writes down why a change was not even begun."""
        if self.begun:
            return
        try:
            entries = self.ledger.entries(change.stage)
            origin = book.current(entries) or NOTHING
            self.ledger.append(change.entry(book.FAILED, origin, reason=str(error)))
        except StepError as second:
            print(f"the ledger could not be written: {second}", flush=True)

    # Guards.

    def check_not_frozen(self, stage: str) -> None:
        entries = self.ledger.entries(stage)
        if book.is_frozen(entries):
            raise StepError(
                Code.StageFrozen, f"{stage} is frozen: {book.frozen_because(entries)}. Unfreeze it first"
            )

    def check_adjacent(self, source: str, target: str) -> None:
        """A version goes from one stage to the next, past none."""
        order = self.settings.stages
        if (
            order.index(self.settings.known_stage(target))
            != order.index(self.settings.known_stage(source)) + 1
        ):
            raise StepError(
                Code.PromotionSkipsStage,
                f"{source} -> {target}: a version goes {' -> '.join(order)}, one stage at a time",
            )

    def check_not_rejected(self, stage: str, running: Running) -> None:
        """A version that failed the tests of its stage, or that a person refused there, goes no further."""
        entries = self.ledger.entries(stage)
        if book.verdict(entries, running) == book.REJECTED:
            why = book.rejected_because(entries, running)
            raise StepError(Code.GatesNotPassed, f"{running.version} was rejected in {stage}: {why}")

    def served(self, stage: str, version: str, digest: str = "") -> Running:
        """What a stage serves, when ledger, Application and pods agree that it is this version."""
        entries = self.ledger.entries(stage)
        running = book.current(entries)
        if book.unfinished(entries):
            raise StepError(
                Code.VersionNotServed, f"a change of {stage} is unfinished; try again when it has ended"
            )
        if running is None or running.version != version:
            raise StepError(Code.VersionNotServed, f"{stage} serves {running or NOTHING}, not {version}")
        if digest and running.digest != digest:
            raise StepError(Code.VersionNotServed, f"{stage} serves {running}, not the image {digest}")
        asked = self.stages.wanted(stage)
        if asked != running:
            raise StepError(
                Code.VersionNotServed,
                f"the Application of {stage} asks for {asked}, the ledger says {running}",
            )
        try:
            self.stages.check_version(stage, running)
        except StepError as error:
            raise StepError(
                Code.VersionNotServed, f"{stage} does not answer as {version}: {error}"
            ) from error
        return running


def aliases_for(stage: str, entries: list[Entry]) -> dict[str, str | None]:
    """
    What a stage's aliases must say for the ledger to be true. The baseline has no version in the registry:
    where it runs, the alias is absent.
    """
    now, before = book.current(entries) or NOTHING, book.previous(entries) or NOTHING
    return {f"{stage}-previous": model_version_of(before.version), stage: model_version_of(now.version)}


def ran_before(entries: list[Entry], version: str, digest: str = "") -> Running | None:
    """The image a stage once ran under a version, the latest one."""
    found = [
        entry.to
        for entry in entries
        if entry.action in (book.DEPLOYED, book.REVERTED)
        and entry.to.version == version
        and digest in ("", entry.to.digest)
    ]
    return found[-1] if found else None


def check_gates(gates: str) -> None:
    """`integration=pass resources=pass load=pass`: every one must pass, and there must be some."""
    results = [part.partition("=") for part in gates.split()]
    if not results:
        raise StepError(Code.GatesNotPassed, "no gate was run")
    bad = [f"{name}={result or 'nothing'}" for name, _, result in results if result != "pass"]
    if bad:
        raise StepError(Code.GatesNotPassed, ", ".join(bad))
