"""The training code itself."""

from pathlib import Path

import numpy as np
import pytest

from training import __main__ as flow
from training import pictures
from training.scenarios import SCENARIOS, UnknownScenario, scenario


def test_pictures_are_the_same_every_time() -> None:
    first, labels = pictures.generate(2, seed=5)
    second, _ = pictures.generate(2, seed=5)
    other, _ = pictures.generate(2, seed=6)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.shape == (2 * len(pictures.CLASSES), 3, pictures.SIZE, pictures.SIZE)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert sorted(set(labels)) == list(range(len(pictures.CLASSES)))


def test_scenarios_are_those_of_the_drills() -> None:
    assert list(SCENARIOS) == ["normal", "bad-architecture", "oversized", "slow"]


def test_unknown_scenario_names_those_there_are() -> None:
    with pytest.raises(UnknownScenario, match="'huge' is unknown; allowed: normal, bad-architecture"):
        scenario("huge")


def test_wrong_settings_end_with_2_and_leave_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = tmp_path / "model_version"
    version.write_text("7")
    monkeypatch.setenv("MODEL_VERSION_FILE", str(version))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert flow.main() == flow.WRONG_SETTING
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("SCENARIO", "huge")
    assert flow.main() == flow.WRONG_SETTING
    assert not version.exists()
