import os
from pathlib import Path

import onnxruntime
import pytest

from training.candidate import make_candidate
from training.scenarios import Scenario, scenario


@pytest.fixture(scope="session")
def chosen() -> Scenario:
    return scenario(os.environ.get("SCENARIO") or "normal")


@pytest.fixture(scope="session")
def model_path(chosen: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model under test: the one of the run, or one trained now."""
    given = os.environ.get("MODEL_PATH")
    if given:
        return Path(given)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    make_candidate(chosen, path)
    return path


@pytest.fixture(scope="session")
def session(model_path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
