"""Source code from Git."""

import time
from pathlib import Path

import command
from errors import Code, StepError
from settings import check_branch

# No prompt, no configuration of this machine, no protocol that runs a program.
ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ALLOW_PROTOCOL": "http:https:file",
    "LC_ALL": "C",
}
UNKNOWN = ("Remote branch", "not found in upstream", "couldn't find remote ref")


class Repository:
    """One branch of one repository."""

    def __init__(self, url: str, branch: str, patience: float = 45):
        self.url = url
        self.branch = check_branch(branch)
        self.patience = patience

    def commit(self) -> str:
        """The branch's newest commit."""
        output = self._git("ls-remote", "--exit-code", "--", self.url, f"refs/heads/{self.branch}")
        return output.split()[0]

    def clone(self, folder: Path, commit: str = "") -> str:
        """
        The files of the branch's newest commit, or of an earlier one, without history; returns the commit.
        """
        if commit:
            # Only what the branch holds: a commit of somebody else's branch is not built under this one's
            # name.
            self._git("clone", "--no-checkout", "--single-branch", *self._of_branch(folder))
            if self._contains(folder, commit):
                self._git("-C", str(folder), "checkout", "--quiet", "--detach", commit)
                return commit
            raise StepError(Code.UnknownBranch, f"{self.url} has no commit {commit} in {self.branch}")
        self._git("clone", "--depth", "1", "--single-branch", *self._of_branch(folder))
        return self._git("-C", str(folder), "rev-parse", "HEAD").strip()

    def _of_branch(self, folder: Path) -> list[str]:
        return ["--branch", self.branch, "--", self.url, str(folder)]

    def _contains(self, folder: Path, commit: str) -> bool:
        ancestry = ["git", "-C", str(folder), "merge-base", "--is-ancestor", commit, "HEAD"]
        return command.run(ancestry, timeout=30, env=ENVIRONMENT).status == 0

    def _git(self, *arguments: str) -> str:
        deadline = time.monotonic() + self.patience
        while True:
            ended = command.run(["git", *arguments], timeout=120, env=ENVIRONMENT)
            if ended.status == 0:
                return ended.output
            # ls-remote --exit-code ends with 2 when the server answered and has no such branch.
            if (arguments[0] == "ls-remote" and ended.status == 2) or any(
                word in ended.errors for word in UNKNOWN
            ):
                raise StepError(Code.UnknownBranch, f"{self.url} has no branch {self.branch}")
            if "No space left on device" in ended.errors:
                raise StepError(Code.DiskFull, f"no room for the files of {self.url}")
            if time.monotonic() > deadline:
                raise StepError(Code.GitUnavailable, f"{self.url}: {ended.errors or 'no answer'}")
            time.sleep(2)
