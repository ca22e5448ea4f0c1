"""Settings of the steps, from the environment. All problems are reported at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from errors import Code, StepError

STAGES = ("staging", "canary", "production")
CLASSES = (
    "Bread",
    "Dairy product",
    "Dessert",
    "Egg",
    "Fried food",
    "Meat",
    "Noodles/Pasta",
    "Rice",
    "Seafood",
    "Soup",
    "Vegetable/Fruit",
)
# The application without a model file: it has no model version in the registry.
BASELINE = "1.0.0"
VERSION = re.compile(r"1\.0\.(0|[1-9][0-9]{0,8})")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Names of Git branches this pipeline takes: no option, no ref syntax.
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,99}")

DEFAULTS = {
    "APP_REPOSITORY": "gourmetgram-app",
    "TRAIN_REPOSITORY": "gourmetgram-train",
    "MODEL_NAME": "GourmetGramFood11Model",
    "STAGES": ",".join(STAGES),
    "LOAD_REQUESTS": "100",
    "LOAD_CONCURRENCY": "10",
    "LOAD_P95_MS": "2000",
    "LOAD_SUCCESS": "0.95",
    "MEMORY_FRACTION": "0.85",
    "ROLLOUT_SECONDS": "180",
    "APPLICATION_NAMESPACE": "argocd",
    "LEDGER_NAMESPACE": "argo",
    "STAGE_NAMESPACE_PREFIX": "gourmetgram-",
    "APP_NAME": "gourmetgram-app",
    "APP_PORT": "8000",
    "OUTPUTS": "/tmp/outputs",
}


@dataclass(frozen=True)
class Settings:
    """Typed access to what the environment says."""

    values: Mapping[str, str]

    @staticmethod
    def from_environment() -> "Settings":
        return Settings(dict(os.environ))

    def text(self, name: str) -> str:
        """A setting that must be there."""
        value = self.values.get(name, "") or DEFAULTS.get(name, "")
        if value == "":
            raise StepError(Code.InvalidSetting, f"{name} is not set")
        return value

    def optional(self, name: str, default: str = "") -> str:
        return self.values.get(name, "") or DEFAULTS.get(name, default)

    def number(self, name: str) -> float:
        text = self.text(name)
        try:
            value = float(text)
        except ValueError:
            value = -1
        if value <= 0:
            raise StepError(Code.InvalidSetting, f"{name} = {text!r} is no positive number")
        return value

    def whole(self, name: str) -> int:
        value = self.number(name)
        if value != int(value):
            raise StepError(Code.InvalidSetting, f"{name} = {value} is no whole number")
        return int(value)

    def require(self, *names: str) -> None:
        """Every missing name in one error."""
        missing = [name for name in names if not (self.values.get(name) or DEFAULTS.get(name))]
        if missing:
            raise StepError(Code.InvalidSetting, f"not set: {', '.join(missing)}")

    @property
    def stages(self) -> tuple[str, ...]:
        """The environment's stages, in the order of promotion."""
        found = tuple(name.strip() for name in self.text("STAGES").split(",") if name.strip())
        unknown = [name for name in found if name not in STAGES]
        if unknown or not found:
            raise StepError(
                Code.InvalidSetting, f"STAGES = {','.join(found)!r}: allowed are {', '.join(STAGES)}"
            )
        return tuple(name for name in STAGES if name in found)

    def stage(self, name: str) -> str:
        """The setting `name` as one of the environment's stages."""
        return self.known_stage(self.text(name))

    def known_stage(self, stage: str) -> str:
        if stage not in self.stages:
            raise StepError(Code.UnknownStage, f"{stage!r} is no stage; there are {', '.join(self.stages)}")
        return stage

    @property
    def outputs(self) -> Path:
        return Path(self.text("OUTPUTS"))

    @property
    def registry_repository(self) -> str:
        return f"{self.text('REGISTRY')}/{self.text('APP_REPOSITORY')}"


def check_version(version: str) -> str:
    """A version of the application, `1.0.N`."""
    if not VERSION.fullmatch(version):
        raise StepError(Code.MissingModelVersion, f"{version!r} is no version; a version looks like 1.0.7")
    return version


def check_digest(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise StepError(Code.MissingImage, f"{digest!r} is no image digest")
    return digest


def check_branch(branch: str) -> str:
    if not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith((".lock", "/")):
        raise StepError(Code.UnknownBranch, f"{branch!r} is no branch name")
    return branch


def version_of(model_version: str) -> str:
    """`7` -> `1.0.7`; a version as it is; nothing -> the baseline."""
    if model_version in ("", "0", BASELINE):
        return BASELINE
    if VERSION.fullmatch(model_version):
        return model_version
    if re.fullmatch(r"[1-9][0-9]{0,8}", model_version):
        return f"1.0.{model_version}"
    raise StepError(Code.MissingModelVersion, f"{model_version!r} is no model version")


def model_version_of(version: str) -> str | None:
    """`1.0.7` -> `7`; the baseline has none."""
    return None if version in ("", BASELINE) else check_version(version).rpartition(".")[2]
