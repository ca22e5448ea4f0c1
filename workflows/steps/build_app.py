"""Builds the application with a model inside, or without one: the baseline."""

import tempfile
from pathlib import Path

from builder import Build, build
from repository import Repository
from settings import model_version_of, version_of
from step import Step, run


def main(step: Step) -> None:
    settings = step.settings
    settings.require(
        "REGISTRY", "APP_GIT_URL", "APP_BRANCH", "BUILDKIT_ADDRESS", "BASE_IMAGE", "WHEELS_IMAGE"
    )
    version = version_of(settings.text("MODEL_VERSION"))
    number = model_version_of(version)
    if number is not None:
        # Before anything is cloned: the most likely mistake is a number that does not exist.
        step.models.check_version(number)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        commit = Repository(settings.text("APP_GIT_URL"), settings.text("APP_BRANCH")).clone(source)
        if number is not None:
            step.models.download(number, source / "model" / "model.onnx")
        digest = build(
            settings,
            Build(
                context=source,
                repository=settings.text("APP_REPOSITORY"),
                tag=f"app-{version}",
                arguments={
                    "BASE_IMAGE": settings.text("BASE_IMAGE"),
                    "WHEELS_IMAGE": settings.text("WHEELS_IMAGE"),
                    "MODEL_VERSION": version,
                    "APP_REVISION": commit,
                },
                labels={
                    "org.opencontainers.image.revision": commit,
                    "org.opencontainers.image.version": version,
                },
            ),
            step.budget.left(),
        )
    step.output("version", version)
    step.output("digest", digest)


if __name__ == "__main__":
    run(main)
