"""Gate: the stage answers as the version it is to be, and knows what is on a picture."""

import time

from errors import StepError
from gates import Report, gate, predict
from ledger import Running
from pictures import COLOURS, picture
from step import Step

# The gate begins after the rollout: what is wrong now is wrong; only a route may still be on its way.
PATIENCE_SECONDS = 15.0


def body(step: Step, stage: str, running: Running, report: Report) -> None:
    stages = step.stages
    address = stages.address(stage)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            said = stages.live_version(address)
            report.found["version"] = said
            if said == running.version or time.monotonic() > deadline:
                break
        except StepError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)
    stages.expect_version(address, said, running)
    report.found["test"] = stages.check_class(stage)
    classes = []
    for colour in COLOURS:
        classes.append(predict(address, picture(colour)))
        report.found["predictions"] = classes


if __name__ == "__main__":
    gate(body)
