"""Images built by BuildKit inside the cluster, pushed by digest."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import command
from errors import Code, StepError
from settings import Settings, check_digest

FULL = ("no space left on device", "disk quota exceeded", "ENOSPC")
UNREACHABLE = (
    "connection refused",
    "connection reset",
    "error reading from server",
    "no such host",
    "i/o timeout",
    "context deadline exceeded",
    "failed to list workers",
    "transport: error while dialing",
)
# A restart of buildkitd or of the registry is over by then.
RESTART_SECONDS = 60
MAY_PASS = frozenset({Code.BuilderUnavailable, Code.RegistryUnavailable})
# Faster than gzip, nine times for the largest layer. The same for image and cache, or each layer is packed
# twice.
COMPRESSION = "oci-mediatypes=true,compression=zstd"
REGISTRY_DOWN = (
    "failed to do request",
    "failed to push",
    "failed to resolve source metadata",
    "failed to authorize",
)


@dataclass(frozen=True)
class Build:
    """One image."""

    context: Path
    repository: str
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def build(settings: Settings, wanted: Build, timeout: float = 1200) -> str:
    """
    Builds and pushes; returns the digest. Layers come from and go to the registry's cache. Begins anew while
    builder or registry start: what was built before that is in the cache.
    """
    metadata = wanted.context.parent / "build-metadata.json"
    deadline = time.monotonic() + timeout
    patience = time.monotonic() + min(RESTART_SECONDS, timeout / 2)
    while True:
        metadata.unlink(missing_ok=True)
        left = max(1.0, deadline - time.monotonic())
        ended = command.run(arguments(settings, wanted, metadata), timeout=left, show=True)
        if ended.status == 0:
            break
        error = failure(ended)
        if error.code not in MAY_PASS or time.monotonic() > patience:
            raise error
        print(f"once more: {error}", flush=True)
        time.sleep(3)
    try:
        digest = json.loads(metadata.read_text())["containerimage.digest"]
    except (OSError, ValueError, KeyError) as error:
        raise StepError(Code.BuildFailed, "buildctl ended well and named no digest") from error
    return check_digest(digest)


def arguments(settings: Settings, wanted: Build, metadata: Path) -> list[str]:
    """The command line: no secret is in it, the registry's login is read from $DOCKER_CONFIG."""
    name = f"{settings.text('REGISTRY')}/{wanted.repository}"
    cache = f"type=registry,ref={name}:cache"
    options = {f"build-arg:{key}": value for key, value in sorted(wanted.arguments.items())}
    options |= {f"label:{key}": value for key, value in sorted(wanted.labels.items())}
    return [
        "buildctl",
        "--addr",
        settings.text("BUILDKIT_ADDRESS"),
        "--tlsdir",
        settings.optional("BUILDKIT_KEYS", "/run/secrets/buildkit"),
        "build",
        "--progress",
        "plain",
        "--frontend",
        "dockerfile.v0",
        "--local",
        f"context={wanted.context}",
        "--local",
        f"dockerfile={wanted.context}",
        *[part for key, value in options.items() for part in ("--opt", f"{key}={value}")],
        "--output",
        f"type=image,name={name}:{wanted.tag},push=true,{COMPRESSION}",
        "--import-cache",
        cache,
        "--export-cache",
        f"{cache},mode=max,image-manifest=true,{COMPRESSION},ignore-error=true",
        "--metadata-file",
        str(metadata),
    ]


def failure(ended: command.Ended) -> StepError:
    """The build's end by name: what the machine lacks, who does not answer, or the Dockerfile's own fault."""
    text = ended.errors
    lower = text.lower()
    if any(word.lower() in lower for word in FULL):
        return StepError(Code.DiskFull, f"the build ran out of disk: {text}")
    if ended.status is None:
        return StepError(Code.BuildFailed, f"the build took too long: {text}")
    last = lower[-2000:]
    if any(word in last for word in REGISTRY_DOWN):
        return StepError(Code.RegistryUnavailable, f"the build could not use the registry: {text}")
    if any(word in last for word in UNREACHABLE):
        return StepError(Code.BuilderUnavailable, f"buildkitd does not answer: {text}")
    return StepError(Code.BuildFailed, text)
