"""Lets a stage run a version: the whole promotion, or nothing. See change.py for the protocol."""

import ledger as book
from change import Change, Promotion, check_gates, ran_before
from errors import Code, StepError
from ledger import NOTHING, Entry, Running
from mlflow_registry import ModelRegistry
from settings import check_digest, model_version_of, version_of
from step import Step, run


def main(step: Step) -> None:
    step.output("outcome", "failed")
    settings = step.settings
    stage = settings.stage("STAGE")
    version = version_of(settings.text("TARGET_VERSION"))
    digest = settings.optional("TARGET_DIGEST")
    if digest:
        check_digest(digest)
    asked = step.change(stage, to=Running(version, digest), reason=settings.optional("REASON"))
    promotion = step.promotion
    try:
        promotion.recover(stage)
        promotion.correct_aliases(stage)
        before = book.current(promotion.ledger.entries(stage)) or promotion.stages.wanted(stage)
        step.output("previous-version", before.version)
        if step.flag("ONLY_IF_EMPTY") and before != NOTHING:
            step.output("outcome", "unchanged")
            return
        source = settings.optional("SOURCE_STAGE")
        to = target(promotion, stage, source, asked.to)
        if source and step.flag("APPROVE_SOURCE"):
            approve(step, promotion, source, to)
        elif source:
            promotion.check_not_rejected(source, to)
        if before == to and promotion.stages.serves(stage, to):
            # Deployed by this very change, whose pod was then lost; or by an earlier one.
            step.output("outcome", "deployed" if closed_by(promotion, asked, to) else "unchanged")
            return
        promotion.check_not_frozen(stage)
        number = model_version_of(version)
        if number is not None:
            # Its alias is moved at the end: better to know now that it can be.
            promotion.models.check_version(number)
        promotion.apply(step.change(stage, to=to, reason=asked.reason))
    except StepError as error:
        promotion.refuse(asked, error)
        raise
    step.output("outcome", "deployed")


def target(promotion: Promotion, stage: str, source: str, asked: Running) -> Running:
    """The version with its digest, when it may come to the stage."""
    if source:
        promotion.check_adjacent(source, stage)
        return promotion.served(source, asked.version, asked.digest)
    entries = promotion.ledger.entries(stage)
    known = ran_before(entries, asked.version, asked.digest)
    first = stage == promotion.settings.stages[0]
    if not first and known is None and (book.current(entries) or promotion.stages.wanted(stage)) != NOTHING:
        raise StepError(
            Code.PromotionSkipsStage,
            f"{stage} never ran {asked.version}: promote it from the stage before {stage}",
        )
    digest = asked.digest or (
        known.digest if known and not first else promotion.images.digest(f"app-{asked.version}")
    )
    if not digest:
        raise StepError(Code.MissingImage, f"the registry has no image app-{asked.version}: build it first")
    return Running(asked.version, digest)


def closed_by(promotion: Promotion, asked: Change, to: Running) -> bool:
    mine = [entry for entry in promotion.ledger.entries(asked.stage) if entry.change == asked.id]
    return bool(mine) and mine[-1].action == book.DEPLOYED and mine[-1].to == to


def approve(step: Step, promotion: Promotion, stage: str, running: Running) -> None:
    gates = step.settings.optional("GATES")
    check_gates(gates)
    record_approval(step, promotion.models, stage, running, gates)


def record_approval(step: Step, models: ModelRegistry, stage: str, running: Running, reason: str) -> None:
    """Alias first: the ledger never says more than what is true."""
    number = model_version_of(running.version)
    if number is not None:
        models.set_aliases({f"{stage}-approved": number})
    change = step.change(stage, to=running)
    written = [
        entry
        for entry in step.ledger.entries(stage)
        if entry.action == book.APPROVED and entry.change == change.id and entry.to == running
    ]
    if not written:
        step.ledger.append(
            Entry(stage, book.APPROVED, change.id, running, running, reason, step.by, step.workflow)
        )


if __name__ == "__main__":
    run(main)
