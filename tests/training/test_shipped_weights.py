"""The weights in the repository: whole, small, of the named configuration, with judge and baseline beside them."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from one_thread import one_thread  # noqa: E402, F401
from prophrl_training.classifier_files import load_classifier  # noqa: E402
from prophrl_training.judge import Judge  # noqa: E402
from prophrl_training.outcome_predictor import OutcomePredictor  # noqa: E402
from prophrl_world_model import checkpoints  # noqa: E402
from prophrl_world_model.config import named  # noqa: E402

WEIGHTS = Path(__file__).parents[2] / "weights" / "prophet-tiny"


def test_the_small_prophet_loads_and_a_still_clip_stays_still():
    model, autoencoder = checkpoints.load(WEIGHTS, torch.float32)
    assert model.prophet == named("prophet-tiny")
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 20e6
    frames = np.random.default_rng(0).integers(0, 256, (1, 1, 64, 64, 3), dtype=np.uint8).repeat(9, axis=1)
    clip = torch.from_numpy(frames)
    assert torch.equal(autoencoder.decode(autoencoder.encode(clip), clip[:, 0]), clip)


@pytest.mark.parametrize("kind", [Judge, OutcomePredictor])
def test_judge_and_baseline_lie_beside_it(kind):
    assert load_classifier(WEIGHTS, kind).config.size == named("prophet-tiny").height
