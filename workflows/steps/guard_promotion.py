"""
Whether a version may go from one stage to the next, before anybody is asked to approve it. Changes nothing.
"""

from settings import version_of
from step import Step, run


def main(step: Step) -> None:
    settings = step.settings
    source, target = settings.stage("SOURCE"), settings.stage("TARGET")
    version = version_of(settings.text("VERSION"))
    promotion = step.promotion
    promotion.check_adjacent(source, target)
    promotion.check_not_frozen(target)
    running = promotion.served(source, version)
    promotion.check_not_rejected(source, running)
    step.output("digest", running.digest)


if __name__ == "__main__":
    run(main)
