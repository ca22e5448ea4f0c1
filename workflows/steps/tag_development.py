"""Lets the alias `development` name the model version that was trained last."""

from errors import Code, StepError
from settings import model_version_of, version_of
from step import Step, run

ALIAS = "development"


def main(step: Step) -> None:
    number = model_version_of(version_of(step.settings.text("MODEL_VERSION")))
    if number is None:
        raise StepError(Code.MissingModelVersion, "the baseline is no version of the model")
    models = step.models
    models.check_version(number)
    known = models.aliases().get(ALIAS)
    if known is not None and int(known) > int(number):
        # A training that began earlier and ended later.
        print(f"{ALIAS} stays at {known}, which is newer than {number}", flush=True)
        return
    models.set_aliases({ALIAS: number})
    print(f"{ALIAS} is version {number}", flush=True)


if __name__ == "__main__":
    run(main)
