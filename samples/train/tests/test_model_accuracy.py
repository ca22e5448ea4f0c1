"""The model recognises pictures it has not seen."""

import onnxruntime

from training.scenarios import Scenario

LEAST_ACCURACY = 0.80
#: Pictures of each kind, and a seed no training uses.
PICTURES, SEED = 40, 7


def test_accuracy(session: onnxruntime.InferenceSession, chosen: Scenario) -> None:
    images, labels = chosen.generate(PICTURES, SEED)
    (probabilities,) = session.run(None, {"pictures": images})
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    print(f"accuracy {accuracy:.3f}")
    assert accuracy >= LEAST_ACCURACY
