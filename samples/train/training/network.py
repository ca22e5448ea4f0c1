"""Trains the network and writes it as ONNX: pictures [n, channels, height, width] in, probabilities [n, classes] out."""

import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

#: Operators every onnxruntime of the last years knows.
OPSET = 17
INPUT = "pictures"
OUTPUT = "probabilities"
#: The pictures as the pipeline takes them: one row each.
FLAT = "flat"


def train(pictures: np.ndarray, labels: np.ndarray, *, hidden: int, epochs: int, seed: int) -> Pipeline:
    """A scikit-learn pipeline that takes flat pictures."""
    classifier = MLPClassifier(
        hidden_layer_sizes=(hidden,), batch_size=64, alpha=0.001, max_iter=epochs, random_state=seed
    )
    with warnings.catch_warnings():
        # It ends after `epochs` on purpose: a training takes the same time every time.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), classifier).fit(pictures.reshape(len(pictures), -1), labels)


def export(pipeline: Pipeline, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """The pipeline as an ONNX model that takes pictures as they are.

    :param shape: channels, height and width of a picture
    """
    columns = int(np.prod(shape))
    whole = to_onnx(
        pipeline,
        initial_types=[(FLAT, FloatTensorType([None, columns]))],
        options={MLPClassifier: {"zipmap": False}},
        target_opset=OPSET,
    )
    # Without the part that names the most likely class.
    model = Extractor(whole).extract_model([FLAT], [OUTPUT])
    graph = model.graph
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", *shape]))
    graph.node.insert(0, helper.make_node("Flatten", [INPUT], [FLAT], axis=1))
    return model
