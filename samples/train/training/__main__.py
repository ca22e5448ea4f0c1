"""Trains, tests and registers a model: ``python -m training``.

Environment:
    MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD
    SCENARIO            normal, bad-architecture, oversized or slow; normal when it is not set
    MODEL_VERSION_FILE  where the number of the new model version goes; /tmp/model_version when it is not set
    SOURCE_REVISION     commit of this code; part of the image

Ends with 0 when a version was registered, 1 when the tests failed, 2 when a setting is wrong, 3 when MLflow is out of
reach or refuses. The file is written in the first case only.
"""

import logging
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from training import registry
from training.candidate import PARAMETERS, make_candidate
from training.checks import CheckResult, run_checks
from training.scenarios import UnknownScenario, scenario

TESTS_FAILED, WRONG_SETTING, MLFLOW_FAILED = 1, 2, 3

log = logging.getLogger("training")


def run_training(name: str, revision: str) -> str | None:
    """One run.

    :returns: number of the new model version; None when the tests failed
    """
    chosen = scenario(name)
    mlflow.set_experiment(registry.EXPERIMENT)
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_name=_run_name(name)) as run:
        log.info("run %s: scenario %s, %s", run.info.run_id, name, chosen.summary)
        mlflow.set_tags({"scenario": name, "revision": revision})
        mlflow.log_params({**PARAMETERS, "scenario": name})
        model = Path(folder) / registry.ARTIFACT / "model.onnx"
        started = time.monotonic()
        candidate = make_candidate(chosen, model)
        seconds = time.monotonic() - started
        size = model.stat().st_size
        log.info("trained in %.1f s, %.1f MiB", seconds, size / 2**20)
        mlflow.log_metrics(
            {
                "training_seconds": seconds,
                "training_accuracy": candidate.training_accuracy,
                "loss": candidate.loss,
                "model_bytes": size,
            }
        )
        result = run_checks(model, name)
        print(result.output, flush=True)
        _log_checks(result)
        registry.describe(model.parent, run)
        mlflow.log_artifacts(str(model.parent), registry.ARTIFACT)
        version = registry.register(run, {"scenario": name, "revision": revision}) if result.ok else None
        mlflow.log_params({"model_registered": version is not None, "model_version": version or "none"})
        mlflow.log_text(_summary(name, revision, result, version), "logs/flow_summary.txt")
        if version is None:
            mlflow.end_run("FAILED")
    return version


def _run_name(name: str) -> str:
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _log_checks(result: CheckResult) -> None:
    mlflow.log_text(result.output, "test_logs/pytest_output.txt")
    mlflow.log_param("pytest_status", "passed" if result.ok else "failed")
    mlflow.log_metrics({"tests_passed": result.passed, "tests_failed": result.failed, "tests_total": result.total})


def _summary(name: str, revision: str, result: CheckResult, version: str | None) -> str:
    registered = f"{registry.MODEL_NAME} version {version}" if version else "no model version: the tests failed"
    return "\n".join(
        [
            f"scenario: {name}",
            f"revision: {revision}",
            f"tests: {result.passed} passed, {result.failed} failed, {result.total} in all",
            f"registered: {registered}",
            "",
        ]
    )


def _write_version(path: Path, version: str) -> None:
    # In one step: whoever finds the file finds the whole number.
    part = path.with_name(f"{path.name}.part")
    part.write_text(version)
    part.replace(path)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    target = Path(os.environ.get("MODEL_VERSION_FILE") or "/tmp/model_version")
    target.unlink(missing_ok=True)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        log.error("MLFLOW_TRACKING_URI is not set")
        return WRONG_SETTING
    try:
        version = run_training(os.environ.get("SCENARIO") or "normal", os.environ.get("SOURCE_REVISION") or "unknown")
    except UnknownScenario as error:
        log.error("%s", error)
        return WRONG_SETTING
    except (MlflowException, OSError) as error:
        log.error("MLflow is out of reach or refused: %s", error)
        return MLFLOW_FAILED
    if version is None:
        log.error("the tests failed: no model version registered")
        return TESTS_FAILED
    _write_version(target, version)
    log.info("registered %s version %s", registry.MODEL_NAME, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
