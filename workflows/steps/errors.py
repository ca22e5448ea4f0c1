"""Errors with a name that people and ledgers read. A step ends with exactly one of them as its last line."""

import re
from enum import StrEnum

# A reason is kept in the ledger and in a workflow's output: long enough for a cause, too short for a log.
LONGEST_MESSAGE = 600

CREDENTIALS = re.compile(r"(\w+://)[^/@\s]+@")


class Code(StrEnum):
    """What can go wrong, by name."""

    # What was asked for is wrong.
    InvalidSetting = "InvalidSetting"
    UnknownStage = "UnknownStage"
    UnknownBranch = "UnknownBranch"
    PromotionSkipsStage = "PromotionSkipsStage"
    MissingModelVersion = "MissingModelVersion"
    MissingImage = "MissingImage"
    VersionNotServed = "VersionNotServed"
    GatesNotPassed = "GatesNotPassed"
    PromotionRejected = "PromotionRejected"
    StageFrozen = "StageFrozen"
    NothingToRevertTo = "NothingToRevertTo"
    # What the step stands on does not answer, or refuses.
    GitUnavailable = "GitUnavailable"
    RegistryUnavailable = "RegistryUnavailable"
    MLflowUnavailable = "MLflowUnavailable"
    ObjectStoreUnavailable = "ObjectStoreUnavailable"
    ClusterUnavailable = "ClusterUnavailable"
    AccessDenied = "AccessDenied"
    # A build ended badly.
    DiskFull = "DiskFull"
    BuilderUnavailable = "BuilderUnavailable"
    BuildFailed = "BuildFailed"
    # A training ended badly, or its model failed the tests of its own repository.
    TrainingFailed = "TrainingFailed"
    # A rollout ended badly.
    SyncFailed = "SyncFailed"
    RolloutFailed = "RolloutFailed"
    ImagePullBackOff = "ImagePullBackOff"
    CrashLoopBackOff = "CrashLoopBackOff"
    OOMKilled = "OOMKilled"
    RolloutTimeout = "RolloutTimeout"
    SmokeFailed = "SmokeFailed"
    WrongVersion = "WrongVersion"
    # A change ended in the middle.
    Interrupted = "Interrupted"
    Superseded = "Superseded"
    SettleFailed = "SettleFailed"
    WorkflowFailed = "WorkflowFailed"
    # A gate says no.
    GateFailed = "GateFailed"
    PodsNotReady = "PodsNotReady"
    PodsRestarted = "PodsRestarted"
    TooMuchMemory = "TooMuchMemory"
    TooManyErrors = "TooManyErrors"
    TooSlow = "TooSlow"
    # A fault of the step itself.
    UnexpectedError = "UnexpectedError"


class StepError(Exception):
    """Why a step ended. The message never holds a secret and is at most `LONGEST_MESSAGE` characters long."""

    def __init__(self, code: Code, message: str):
        self.code = code
        self.message = shorten(redact(message))
        super().__init__(f"{code}: {self.message}")


class Terminated(BaseException):
    """The pod is asked to end. Not an Exception, so that no retry swallows it."""


def redact(text: str) -> str:
    """The text with the login of every URL removed."""
    return CREDENTIALS.sub(r"\1", text)


def shorten(text: str) -> str:
    """
    One line of at most `LONGEST_MESSAGE` characters: start and end of a longer text, which name the cause.
    """
    line = " ".join(text.split())
    if len(line) <= LONGEST_MESSAGE:
        return line
    half = (LONGEST_MESSAGE - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"
