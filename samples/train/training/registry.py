"""What MLflow is told: a run with everything about the training, and, when the tests passed, a new model version."""

from pathlib import Path

import mlflow
import onnx
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model

EXPERIMENT = "food11-classifier"
MODEL_NAME = "GourmetGramFood11Model"
#: Folder of the model within the run's artifacts. It holds `model.onnx`.
ARTIFACT = "model"


def describe(folder: Path, run: Run) -> None:
    """Writes the file by which MLflow and its users recognise the model in ``folder``."""
    description = Model(artifact_path=ARTIFACT, run_id=run.info.run_id)
    description.add_flavor("onnx", onnx_version=onnx.__version__, data="model.onnx")
    description.save(str(folder / "MLmodel"))


def register(run: Run, tags: dict[str, str]) -> str:
    """A new version of the registered model, from the run's artifacts.

    :returns: its number
    """
    client = MlflowClient()
    try:
        client.create_registered_model(MODEL_NAME, description="Tells which kind of food a picture shows")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{mlflow.get_artifact_uri(ARTIFACT)}"
    return str(client.create_model_version(MODEL_NAME, source, run_id=run.info.run_id, tags=tags).version)
