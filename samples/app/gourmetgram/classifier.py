"""Classifiers: the ONNX model that was baked into the image, or the baseline when there is none."""

from pathlib import Path
from typing import Protocol

import numpy as np

from gourmetgram.classes import CLASSES


class ModelError(RuntimeError):
    """The model cannot judge the app's pictures: it was made for others, or it is broken."""


class Classifier(Protocol):
    kind: str

    def probabilities(self, picture: np.ndarray) -> np.ndarray:
        """One probability for each of ``CLASSES``.

        :param picture: float32 [1, 3, 32, 32]
        :raises ModelError: when the model cannot judge it
        """


class OnnxClassifier:
    """A model file of the safe format ONNX: data and operators, no code of the one who trained it."""

    kind = "onnx"

    def __init__(self, path: Path) -> None:
        # Imported here: the baseline does without these 40 MiB.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The pod has half a processor: more threads would only take turns.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Memory goes back after each picture, instead of staying reserved for the largest one ever seen.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def probabilities(self, picture: np.ndarray) -> np.ndarray:
        try:
            outputs = self._session.run(None, {self._input: picture})
        except Exception as error:  # onnxruntime has a class of its own for each status code.
            reason = " ".join(str(error).split())
            raise ModelError(f"the model fails for a picture of shape {list(picture.shape)}: {reason}") from error
        shapes = [list(np.shape(output)) for output in outputs]
        if not shapes or shapes[-1] != [1, len(CLASSES)]:
            raise ModelError(f"the model gives {shapes}, expected [1, {len(CLASSES)}] probabilities")
        found = np.asarray(outputs[-1][0], dtype=np.float64)
        if not np.isfinite(found).all() or abs(found.sum() - 1) > 0.01:
            raise ModelError("the model gives no probabilities: they are to be finite and to add up to 1")
        return found


class Baseline:
    """Compares the middle of the picture with a typical colour of each class. Better than chance, and always there."""

    kind = "baseline"

    _COLOURS = np.array(
        [
            (0.80, 0.60, 0.35),  # Bread
            (0.95, 0.93, 0.82),  # Dairy product
            (0.90, 0.55, 0.70),  # Dessert
            (0.97, 0.85, 0.25),  # Egg
            (0.75, 0.50, 0.10),  # Fried food
            (0.50, 0.18, 0.12),  # Meat
            (0.93, 0.78, 0.50),  # Noodles/Pasta
            (0.88, 0.88, 0.88),  # Rice
            (0.95, 0.50, 0.42),  # Seafood
            (0.86, 0.42, 0.10),  # Soup
            (0.30, 0.65, 0.22),  # Vegetable/Fruit
        ]
    )
    _SHARPNESS = 40.0

    def probabilities(self, picture: np.ndarray) -> np.ndarray:
        middle = picture[0, :, 8:24, 8:24].reshape(3, -1)
        distance = np.square(self._COLOURS - np.median(middle, axis=1)).sum(axis=1)
        return softmax(-self._SHARPNESS * distance)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def load_classifier(path: Path) -> Classifier:
    """The model at ``path``, or the baseline when there is no file. A file that is no model ends the app."""
    return OnnxClassifier(path) if path.is_file() else Baseline()
