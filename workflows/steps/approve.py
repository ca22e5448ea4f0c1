"""Writes down that a version passed its tests, or that a person refused it."""

import ledger as book
from change import check_gates
from change_stage import record_approval
from errors import Code, StepError
from ledger import Entry, Running
from settings import check_digest, version_of
from step import Step, run


def main(step: Step) -> None:
    settings = step.settings
    stage = settings.stage("STAGE")
    running = Running(version_of(settings.text("VERSION")), check_digest(settings.text("DIGEST")))
    decision = settings.text("DECISION")
    reason = settings.optional("REASON")
    if decision == book.APPROVED:
        check_gates(settings.optional("GATES"))
        step.promotion.served(stage, running.version, running.digest)
        record_approval(step, step.models, stage, running, reason or settings.text("GATES"))
    elif decision == book.REJECTED:
        by = settings.optional("BY") or step.by
        reason = reason or "no reason given"
        origin = book.current(step.ledger.entries(stage)) or book.NOTHING
        change = step.change(stage, to=running)
        step.ledger.append(Entry(stage, book.REJECTED, change.id, origin, running, reason, by, step.workflow))
        raise StepError(
            Code.PromotionRejected, f"{running.version} does not come to {stage}: {reason} ({by})"
        )
    else:
        raise StepError(Code.InvalidSetting, f"DECISION = {decision!r}: allowed are approved, rejected")


if __name__ == "__main__":
    run(main)
