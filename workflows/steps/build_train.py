"""Builds the image that trains: one for each commit of the training code."""

import re
import tempfile
from pathlib import Path

from builder import Build, build
from errors import Code, StepError
from images import Images
from repository import Repository
from step import Step, run


def main(step: Step) -> None:
    settings = step.settings
    settings.require("REGISTRY", "TRAIN_GIT_URL", "BUILDKIT_ADDRESS", "BASE_IMAGE", "WHEELS_IMAGE")
    commit = settings.text("COMMIT")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise StepError(Code.InvalidSetting, f"COMMIT = {commit!r} is no commit")
    repository = settings.text("TRAIN_REPOSITORY")
    images = Images(f"{settings.text('REGISTRY')}/{repository}")
    known = images.digest(commit)
    if known is not None:
        step.output("digest", known)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        Repository(settings.text("TRAIN_GIT_URL"), settings.text("BRANCH")).clone(source, commit)
        digest = build(
            settings,
            Build(
                context=source,
                repository=repository,
                tag=commit,
                arguments={
                    "BASE_IMAGE": settings.text("BASE_IMAGE"),
                    "WHEELS_IMAGE": settings.text("WHEELS_IMAGE"),
                    "REVISION": commit,
                },
                labels={"org.opencontainers.image.revision": commit},
            ),
            step.budget.left(),
        )
    step.output("digest", digest)


if __name__ == "__main__":
    run(main)
