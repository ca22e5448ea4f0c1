"""The frame of every step: settings in, outputs and one named error out."""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from budget import Budget
from change import Change, Promotion
from cluster import Cluster
from errors import Code, StepError, Terminated, redact, shorten
from images import Images
from ledger import Ledger
from mlflow_registry import ModelRegistry
from settings import Settings
from stages import Stages

TERMINATION_LOG = Path("/dev/termination-log")
# A step that is told no time has this much.
DEFAULT_SECONDS = "600"


class Step:
    """What a step works with. The connections are made when they are first used."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.budget = Budget(float(settings.optional("STEP_DEADLINE_SECONDS", DEFAULT_SECONDS)))
        self.cluster = Cluster()
        self.ledger = Ledger(self.cluster, settings.text("LEDGER_NAMESPACE"))
        self.stages = Stages(self.cluster, settings)

    @property
    def models(self) -> ModelRegistry:
        text = self.settings.text
        optional = self.settings.optional
        return ModelRegistry(
            text("MLFLOW_TRACKING_URI"),
            text("MODEL_NAME"),
            optional("MLFLOW_TRACKING_USERNAME"),
            optional("MLFLOW_TRACKING_PASSWORD"),
        )

    @property
    def images(self) -> Images:
        return Images(self.settings.registry_repository)

    @property
    def promotion(self) -> Promotion:
        return Promotion(self.settings, self.ledger, self.stages, self.models, self.images, self.budget)

    @property
    def workflow(self) -> str:
        return self.settings.optional("WORKFLOW")

    @property
    def by(self) -> str:
        return self.settings.optional("REQUESTED_BY", "pipeline")

    def change(self, stage: str, **fields) -> Change:
        """A change as this step was asked for it."""
        fallback = f"{self.workflow}.{stage}"
        return Change(
            stage=stage,
            id=self.settings.optional("CHANGE", fallback),
            by=self.by,
            workflow=self.workflow,
            **fields,
        )

    def flag(self, name: str) -> bool:
        text = self.settings.optional(name, "false")
        if text not in ("true", "false"):
            raise StepError(Code.InvalidSetting, f"{name} = {text!r}: allowed are true, false")
        return text == "true"

    def output(self, name: str, value: str) -> None:
        """A value for the steps that follow."""
        folder = self.settings.outputs
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(value)
        print(f"{name} = {shorten(value)}", flush=True)


def run(body: Callable[[Step], None]) -> None:
    """Runs a step and ends the process: 0 when it is done, 1 with a named error as the last line."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        body(Step(Settings.from_environment()))
    except StepError as error:
        fail(error)
    except Terminated:
        fail(StepError(Code.Interrupted, "the pod was asked to end; what it began is put back by settle"))
    except Exception as error:  # noqa: BLE001 - whatever it is, the workflow gets a name for it
        traceback.print_exc(limit=5)
        fail(StepError(Code.UnexpectedError, f"{type(error).__name__}: {error}"))


def terminate(*_: object) -> None:
    # Once: a second signal must not interrupt the way out.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def fail(error: StepError) -> None:
    line = redact(str(error))
    outputs = Settings.from_environment().outputs
    for path in (TERMINATION_LOG, outputs / "error"):
        try:
            path.write_text(line)
        except OSError:
            continue  # not in a pod
    print(line, file=sys.stderr, flush=True)
    sys.exit(1)
