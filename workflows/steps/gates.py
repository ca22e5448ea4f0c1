"""What the gates have in common: a report and a verdict."""

import json
from collections.abc import Callable
from http.client import HTTPException

import ledger as book
import web
from errors import Code, StepError
from ledger import Entry, Running
from pictures import form
from settings import CLASSES, version_of
from step import Step, run

PREDICT_SECONDS = 30.0


class Report:
    """Findings of a gate, in one line of JSON."""

    def __init__(self) -> None:
        self.found: dict[str, object] = {}

    def text(self) -> str:
        return json.dumps(self.found, separators=(",", ":"), ensure_ascii=False)


# What could not be measured is no verdict on the version.
UNMEASURED = frozenset({Code.ClusterUnavailable, Code.AccessDenied, Code.InvalidSetting})


def gate(body: Callable[[Step, str, Running, Report], None]) -> None:
    """Runs a gate as a step."""
    run(lambda step: judge(step, body))


def judge(step: Step, body: Callable[[Step, str, Running, Report], None]) -> None:
    """`result` is `pass` only when the body ends without an error. A `fail` is written into the ledger."""
    stage = step.settings.stage("STAGE")
    version = version_of(step.settings.text("VERSION"))
    report = Report()
    result = "error"
    try:
        body(step, stage, Running(version), report)
        result = "pass"
    except StepError as error:
        report.found["error"] = str(error)
        if error.code not in UNMEASURED:
            result = "fail"
            reject(step, stage, version, error)
        raise
    finally:
        step.output("result", result)
        step.output("report", report.text())


def reject(step: Step, stage: str, version: str, error: StepError) -> None:
    """
    Says in the ledger what is wrong with the version, when the stage runs it: settle and later reverts go by
    it.
    """
    try:
        running = book.current(step.ledger.entries(stage))
        if running is None or running.version != version:
            return
        change = step.change(stage, to=running)
        step.ledger.append(
            Entry(stage, book.REJECTED, change.id, running, running, str(error), step.by, step.workflow)
        )
    except StepError as second:
        print(f"the ledger could not be written: {second}", flush=True)


def predict(address: str, data: bytes, timeout: float = PREDICT_SECONDS) -> str:
    """The class the application gives a picture. Raises GateFailed when there is none."""
    body, headers = form(data)
    try:
        answer = web.once("POST", f"{address}/predict", body=body, headers=headers, timeout=timeout)
    except (OSError, HTTPException) as error:
        raise StepError(Code.GateFailed, f"/predict does not answer: {web.describe(error)}") from error
    if answer.status != 200:
        raise StepError(Code.GateFailed, f"/predict answers {answer.status} {answer.text()[:200]}")
    found = str(answer.json().get("class", ""))
    if found not in CLASSES:
        raise StepError(Code.GateFailed, f"/predict gives {found!r}, which is no class")
    return found
