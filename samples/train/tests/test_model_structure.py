"""The model is what its users expect."""

from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from training.scenarios import Scenario


def test_loads(session: onnxruntime.InferenceSession) -> None:
    assert [value.name for value in session.get_inputs()] == ["pictures"]
    assert [value.name for value in session.get_outputs()] == ["probabilities"]


def test_takes_pictures(session: onnxruntime.InferenceSession, chosen: Scenario) -> None:
    (pictures,) = session.get_inputs()
    assert pictures.type == "tensor(float)"
    assert tuple(pictures.shape[1:]) == chosen.shape


def test_gives_probabilities(session: onnxruntime.InferenceSession, chosen: Scenario) -> None:
    images, _ = chosen.generate(1, seed=3)
    (probabilities,) = session.run(None, {"pictures": images})
    assert probabilities.shape == (len(images), len(chosen.kinds))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    assert (probabilities >= 0).all()


def test_number_of_parameters(model_path: Path, chosen: Scenario) -> None:
    model = onnx.load(model_path)
    parameters = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    least, most = chosen.parameters
    assert least <= parameters <= most
