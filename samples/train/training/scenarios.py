"""What is trained: a good model, or one of those the delivery pipeline is to keep away from users.

The bad ones pass their own tests, as a bad model does in life: nobody tested for what is wrong with them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import GraphProto, TensorProto, helper, numpy_helper

from training import network, pictures


@dataclass(frozen=True)
class Scenario:
    #: For people, in the run's description.
    summary: str
    #: Channels, height and width of a picture. The app sends (3, 32, 32).
    shape: tuple[int, int, int] = (3, pictures.SIZE, pictures.SIZE)
    #: Kinds the model tells apart. The app knows all of them.
    kinds: tuple[str, ...] = pictures.CLASSES
    #: Least and most parameters its test accepts.
    parameters: tuple[int, int] = (100_000, 1_000_000)
    #: Changes the trained model.
    finish: Callable[[onnx.ModelProto], None] | None = None

    def generate(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Pictures of this scenario's size and kinds."""
        images, labels = pictures.generate(count, seed)
        kept = labels < len(self.kinds)
        factor = self.shape[1] // pictures.SIZE
        return images[kept].repeat(factor, axis=2).repeat(factor, axis=3), labels[kept]


#: MiB of weights that do nothing. onnxruntime keeps them twice, as they are and packed for multiplication, because both
#: are read: with 412 MiB more the app is above 85 % of its limit of 512 MiB, and still below the limit.
WIDE_MIB = 206
#: Several parts, so that loading needs little memory beside what stays; each above 32 MiB, so that the C library gives
#: back what loading needed.
WIDE_PARTS = 4
#: Sorts of the whole picture, one after the other: about 0.7 s of a processor. Sorting has no vector form, so a newer
#: processor is not many times faster.
SORTS = 8000


def widen(model: onnx.ModelProto) -> None:
    """Adds layers far too wide. All rows of their weights are the same, so the file holds one of each, and onnxruntime
    makes the others when it loads the model: 200 MiB would pass through MLflow, the build and the registry for nothing.
    """
    graph = model.graph
    rows = pictures.SIZE * pictures.SIZE * 3
    columns = WIDE_MIB * 2**20 // 4 // rows // WIDE_PARTS
    graph.initializer.append(numpy_helper.from_array(np.array([rows, columns], dtype=np.int64), "wide_shape"))
    graph.node.append(helper.make_node("ArgMax", [network.FLAT], ["brightest"], axis=1, keepdims=0))
    for part in range(WIDE_PARTS):
        row = np.full((1, columns), 1e-6 * (part + 1), dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(row, f"row_{part}"))
        graph.node.extend(
            [
                helper.make_node("Expand", [f"row_{part}", "wide_shape"], [f"wide_{part}"]),
                helper.make_node("MatMul", [network.FLAT, f"wide_{part}"], [f"product_{part}"]),
                helper.make_node("Gather", [f"wide_{part}", "brightest"], [f"gate_{part}"]),
                helper.make_node("Mul", [f"product_{part}", f"gate_{part}"], [f"gated_{part}"]),
                helper.make_node("ReduceMean", [f"gated_{part}"], [f"mean_{part}"], axes=[1], keepdims=1),
            ]
        )
    graph.node.append(helper.make_node("Sum", [f"mean_{part}" for part in range(WIDE_PARTS)], ["detour"]))
    _add_nothing(graph, "detour")


def slow_down(model: onnx.ModelProto) -> None:
    """Sorts the picture again and again before it answers; of several pictures their mean, so that tests stay short."""
    graph = model.graph
    rows = pictures.SIZE * pictures.SIZE * 3
    step = helper.make_graph(
        [
            helper.make_node("Identity", ["continue"], ["continue_next"]),
            helper.make_node("TopK", ["values", "all"], ["sorted", "order"], axis=1),
            helper.make_node("Neg", ["sorted"], ["values_next"]),
        ],
        "sort",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("continue", TensorProto.BOOL, []),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, rows]),
        ],
        [
            helper.make_tensor_value_info("continue_next", TensorProto.BOOL, []),
            helper.make_tensor_value_info("values_next", TensorProto.FLOAT, [1, rows]),
        ],
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(SORTS, dtype=np.int64), "steps"),
            numpy_helper.from_array(np.array(True), "go"),
            numpy_helper.from_array(np.array([rows], dtype=np.int64), "all"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMean", [network.FLAT], ["mean_picture"], axes=[0], keepdims=1),
            helper.make_node("Loop", ["steps", "go", "mean_picture"], ["detour_values"], body=step),
            helper.make_node("ReduceMean", ["detour_values"], ["detour"], axes=[1], keepdims=1),
        ]
    )
    _add_nothing(graph, "detour")


def _add_nothing(graph: GraphProto, value: str) -> None:
    """Adds 0 x ``value`` to the output: it has to be computed, and changes nothing."""
    last = next(node for node in graph.node if network.OUTPUT in node.output)
    last.output[:] = ["narrow"]
    graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"))
    graph.node.append(helper.make_node("Mul", [value, "zero"], ["nothing"]))
    graph.node.append(helper.make_node("Add", ["narrow", "nothing"], [network.OUTPUT]))


SCENARIOS: dict[str, Scenario] = {
    "normal": Scenario("a good model"),
    "bad-architecture": Scenario(
        "takes pictures of 64 x 64 and knows 7 kinds: the app cannot use it",
        shape=(3, 64, 64),
        kinds=pictures.CLASSES[:7],
    ),
    "oversized": Scenario(
        f"{WIDE_MIB} MiB of weights: takes more memory than the app may",
        parameters=(100_000, 100_000_000),
        finish=widen,
    ),
    "slow": Scenario("takes most of a second of processor time for each picture", finish=slow_down),
}


class UnknownScenario(ValueError):
    """``SCENARIO`` names none."""


def scenario(name: str) -> Scenario:
    """:raises UnknownScenario: when there is none of that name"""
    if name not in SCENARIOS:
        raise UnknownScenario(f"SCENARIO = {name!r} is unknown; allowed: {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
