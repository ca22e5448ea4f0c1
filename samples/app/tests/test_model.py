"""Real ONNX models, right and wrong. Skipped where `onnx`, which only makes them, is not installed."""

from pathlib import Path

import numpy as np
import pytest

from gourmetgram.classes import CLASSES
from gourmetgram.classifier import ModelError, OnnxClassifier, load_classifier
from gourmetgram.picture import example_picture

onnx = pytest.importorskip("onnx")


def write_model(path: Path, *, size: int = 32, classes: int = len(CLASSES), softmax: bool = True) -> Path:
    """Flattens, multiplies, and gives probabilities."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).normal(0, 0.01, (3 * size * size, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_right_model(tmp_path: Path) -> None:
    probabilities = load_classifier(write_model(tmp_path / "model.onnx")).probabilities(example_picture())
    assert probabilities.shape == (len(CLASSES),)
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"size": 64}, "fails for a picture"), ({"classes": 7}, "expected"), ({"softmax": False}, "no probabilities")],
)
def test_wrong_model_loads_and_fails_for_pictures(tmp_path: Path, change: dict, message: str) -> None:
    classifier = OnnxClassifier(write_model(tmp_path / "model.onnx", **change))
    with pytest.raises(ModelError, match=message):
        classifier.probabilities(example_picture())


def test_file_that_is_no_model_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(Exception, match="protobuf|Protobuf"):
        load_classifier(path)


def test_no_file_is_the_baseline(tmp_path: Path) -> None:
    assert load_classifier(tmp_path / "model.onnx").kind == "baseline"
