"""The newest commit of a branch of the training code, and whether its image has to be built."""

from images import Images
from repository import Repository
from step import Step, run


def main(step: Step) -> None:
    settings = step.settings
    repository = Repository(settings.text("TRAIN_GIT_URL"), settings.text("BRANCH"))
    name = f"{settings.text('REGISTRY')}/{settings.text('TRAIN_REPOSITORY')}"
    commit = repository.commit()
    step.output("commit", commit)
    step.output("image", f"{name}:{commit}")
    step.output("needs-rebuild", "true" if Images(name).digest(commit) is None else "false")


if __name__ == "__main__":
    run(main)
