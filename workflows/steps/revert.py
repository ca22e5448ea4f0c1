"""Brings a stage back to what it ran before, or to a version it once ran."""

import ledger as book
from change import Promotion, ran_before
from errors import Code, StepError
from ledger import NOTHING, Running
from settings import version_of
from step import Step, run


def main(step: Step) -> None:
    step.output("outcome", "failed")
    stage = step.settings.stage("STAGE")
    wanted = step.settings.optional("TO_VERSION")
    wanted = version_of(wanted) if wanted else ""
    asked = step.change(
        stage, to=Running(wanted), action=book.REVERTED, reason=step.settings.optional("REASON", "asked for")
    )
    promotion = step.promotion
    try:
        promotion.recover(stage)
        promotion.correct_aliases(stage)
        entries = promotion.ledger.entries(stage)
        done = already(promotion, asked.id, stage)
        to = done or target(promotion, stage, wanted)
        step.output("version", to.version)
        if done or (book.current(entries) == to and promotion.stages.serves(stage, to)):
            step.output("outcome", "reverted" if done else "unchanged")
            return
        promotion.check_not_frozen(stage)
        promotion.apply(step.change(stage, to=to, action=book.REVERTED, reason=asked.reason))
    except StepError as error:
        promotion.refuse(asked, error)
        raise
    step.output("outcome", "reverted")


def already(promotion: Promotion, change: str, stage: str) -> Running | None:
    """What this very change went back to before its pod was lost: a second pod must not go back further."""
    entries = promotion.ledger.entries(stage)
    mine = [entry for entry in entries if entry.change == change and entry.action in book.CLOSING]
    if mine and mine[-1].action == book.REVERTED and book.current(entries) == mine[-1].to:
        return mine[-1].to
    return None


def target(promotion: Promotion, stage: str, version: str) -> Running:
    entries = promotion.ledger.entries(stage)
    found = ran_before(entries, version) if version else book.previous(entries)
    if found is None or found == NOTHING:
        what = f"{stage} never ran {version}" if version else f"the ledger knows nothing {stage} ran before"
        raise StepError(Code.NothingToRevertTo, what)
    return found


if __name__ == "__main__":
    run(main)
