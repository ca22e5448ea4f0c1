"""What the image was built with, and limits. Nothing here is set by the one who deploys the image."""

import os
from dataclasses import dataclass
from pathlib import Path

#: Version of an image without a model file.
BASELINE_VERSION = "1.0.0"


@dataclass(frozen=True)
class Settings:
    #: Version of the model, ``1.0.N``; part of the image, so that a running pod cannot say another one.
    model_version: str = BASELINE_VERSION
    #: Commit of the app's code.
    revision: str = "unknown"
    model_path: Path = Path("model/model.onnx")
    port: int = 8000
    #: Largest upload, in bytes.
    max_upload: int = 5 * 1024 * 1024
    #: Pictures classified at the same time.
    threads: int = 2
    #: Pictures that may wait for a thread; more are refused with 503, because each holds its upload in memory.
    max_waiting: int = 64
    #: Seconds the server goes on taking connections after SIGTERM, because proxies learn of it later.
    drain_seconds: float = 5.0
    #: Seconds requests under way get after that.
    shutdown_seconds: int = 20


def from_environment() -> Settings:
    defaults = Settings()
    return Settings(
        model_version=os.environ.get("MODEL_VERSION") or defaults.model_version,
        revision=os.environ.get("APP_REVISION") or defaults.revision,
        model_path=Path(os.environ.get("MODEL_PATH") or defaults.model_path),
        port=int(os.environ.get("PORT") or defaults.port),
        drain_seconds=float(os.environ.get("DRAIN_SECONDS") or defaults.drain_seconds),
    )
