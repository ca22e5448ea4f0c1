"""Images of the application in the registry, by digest."""

import time

import command
from errors import Code, StepError
from settings import check_digest

ABSENT = ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "404 Not Found", "manifest unknown")
DENIED = ("UNAUTHORIZED", "DENIED", "401 Unauthorized", "403 Forbidden")


class Images:
    """One repository, through crane, which reads the login from $DOCKER_CONFIG."""

    def __init__(self, repository: str, patience: float = 45):
        self.repository = repository
        self.patience = patience

    def digest(self, tag: str) -> str | None:
        """Digest a tag points to, None when there is no such tag."""
        output = self._crane("digest", f"{self.repository}:{tag}")
        return None if output is None else check_digest(output.strip())

    def tag(self, digest: str, tag: str) -> None:
        """Lets a tag point to a digest that is in the registry."""
        if self.digest(tag) == digest:
            return
        if self._crane("tag", f"{self.repository}@{check_digest(digest)}", tag) is None:
            raise StepError(Code.MissingImage, f"the registry does not have {self.repository}@{digest}")

    def reference(self, digest: str) -> str:
        return f"{self.repository}@{digest}"

    def _crane(self, *arguments: str) -> str | None:
        """The program's output, None when the image is not there."""
        deadline = time.monotonic() + self.patience
        while True:
            ended = command.run(["crane", *arguments], timeout=20)
            if ended.status == 0:
                return ended.output
            if any(word in ended.errors for word in ABSENT):
                return None
            if any(word in ended.errors for word in DENIED):
                raise StepError(
                    Code.AccessDenied, f"the registry refuses crane {arguments[0]}: {ended.errors}"
                )
            if time.monotonic() > deadline:
                raise StepError(
                    Code.RegistryUnavailable,
                    f"crane {arguments[0]} for {self.patience:.0f} s: {ended.errors or 'no answer'}",
                )
            time.sleep(2)
