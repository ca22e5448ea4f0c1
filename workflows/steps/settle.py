"""
Brings a stage to rest after a change or its tests did not succeed: whatever was left in the middle is put
back, and a version that failed its tests is taken away again. Runs also when the step before it died, ran out
of time, or the workflow was stopped.
"""

from dataclasses import replace

import ledger as book
from change import Change, Promotion
from errors import Code, StepError
from ledger import NOTHING, Entry
from settings import version_of
from step import Step, run


def main(step: Step) -> None:
    step.output("outcome", "failed")
    stage = step.settings.stage("STAGE")
    version = step.settings.optional("VERSION")
    version = version_of(version) if version else ""
    reason = step.settings.optional("REASON") or step.settings.optional("VERDICT", "the step did not succeed")
    promotion = step.promotion
    try:
        outcome = settle(promotion, step.change(stage, to=NOTHING, reason=reason), version)
    except StepError as error:
        raise StepError(Code.SettleFailed, f"{stage}: {error}") from error
    step.output("outcome", outcome)


def settle(promotion: Promotion, asked: Change, version: str) -> str:
    """What was done: `kept` or `reverted`."""
    stage = asked.stage
    left = promotion.recover(stage, asked.reason)
    if any(started.to.version == version or not version for started in left):
        return "reverted"
    # What is left otherwise is an earlier attempt of this step: it begins anew.
    entries = promotion.ledger.entries(stage)
    if version and is_rejected(promotion, asked, version, entries):
        back = book.previous(entries) or NOTHING
        running = book.current(entries) or NOTHING
        # The gates have written down what they found.
        reason = book.rejected_because(entries, running, asked.workflow) or asked.reason
        promotion.apply(replace(asked, to=back, action=book.REVERTED, reason=reason))
        return "reverted"
    try:
        promotion.correct_aliases(stage)
    except StepError as error:
        print(f"nothing was changed; the aliases could not be looked at: {error}", flush=True)
    closed = [entry for entry in entries if entry.change == asked.id and entry.action in book.CLOSING]
    return "reverted" if closed and closed[-1].action == book.REVERTED else "kept"


def is_rejected(promotion: Promotion, asked: Change, version: str, entries: list[Entry]) -> bool:
    """Whether the stage runs the version that failed, because of what failed."""
    running = book.current(entries)
    if running is None or running.version != version:
        return False
    tried = [
        entry
        for entry in entries
        if entry.change == asked.id and entry.action in book.CLOSING and entry.to.version == version
    ]
    if tried and tried[-1].action == book.FAILED:
        # The change failed and was put back: the stage ran this version before it.
        return False
    if asked.stage != promotion.settings.stages[0]:
        # Only the first stage is tested after a change; elsewhere only the very change that failed is undone.
        return bool(tried)
    return not approved_by(entries, version, asked.workflow)


def approved_by(entries: list[Entry], version: str, workflow: str) -> bool:
    """Whether the tests of this workflow passed: what failed came after them and is not the stage's fault."""
    return any(
        entry.action == book.APPROVED and entry.to.version == version and entry.workflow == workflow != ""
        for entry in entries
    )


if __name__ == "__main__":
    run(main)
