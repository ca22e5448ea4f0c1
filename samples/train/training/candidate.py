"""Makes the model file of a scenario: the same settings, the same file's worth every time."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from training import network
from training.scenarios import Scenario

SEED = 20240411
#: Pictures of each kind.
PICTURES = 200
HIDDEN = 64
EPOCHS = 15

#: Settings as they are logged.
PARAMETERS = {"seed": SEED, "pictures_per_kind": PICTURES, "hidden_units": HIDDEN, "epochs": EPOCHS}


@dataclass(frozen=True)
class Candidate:
    #: Share of the training pictures it gets right.
    training_accuracy: float
    loss: float


def make_candidate(scenario: Scenario, path: Path) -> Candidate:
    """Trains and writes the model to ``path``."""
    pictures, labels = scenario.generate(PICTURES, SEED)
    pipeline = network.train(pictures, labels, hidden=HIDDEN, epochs=EPOCHS, seed=SEED)
    model = network.export(pipeline, scenario.shape)
    if scenario.finish is not None:
        scenario.finish(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return Candidate(
        training_accuracy=float(pipeline.score(pictures.reshape(len(pictures), -1), labels)),
        loss=float(pipeline[-1].loss_),
    )
