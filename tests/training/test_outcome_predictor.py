"""The no-video baseline: it learns what poses decide, without looking at how long a rollout is."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from prophrl_core.errors import UserError  # noqa: E402
from prophrl_training.classifier_files import load_classifier, save_classifier  # noqa: E402
from prophrl_training.outcome_predictor import (  # noqa: E402
    OutcomePredictor,
    PredictorExamples,
    predictor_figure,
    train_predictor,
)
from rising_square import POSES, QUICK, clip  # noqa: E402


def test_the_predictor_learns_an_outcome_that_the_poses_decide(tmp_path):
    """The gripper goes down in successes; failures are longer, which must not help."""
    def made(n, first):
        return [clip(first + i, i % 2 == 0, steps=20 if i % 2 == 0 else 30) for i in range(n)]

    predictor = train_predictor(made(20, 0), made(10, 100), POSES, QUICK, tmp_path, lambda row: None)
    found = predictor_figure(predictor, made(20, 200), 0)
    assert found.value > 0.9 and found.n == 128
    (frames, proprio, steps), success = PredictorExamples(made(20, 0), POSES, None).batch(9, 0, 3)
    assert frames.shape == (9, 32, 32, 3) and len(success) == 9
    assert (steps[:8:2] == steps[1:8:2]).all(), "a failure is cut where a success is"
    inputs = [torch.from_numpy(part) for part in (frames, proprio, steps)]
    logits = predictor(*inputs)
    longer = torch.cat([inputs[1], torch.full((9, 3, 10), 7.0)], 1)
    torch.testing.assert_close(predictor(inputs[0], longer, inputs[2]), logits, atol=1e-4, rtol=1e-4)
    save_classifier(tmp_path, predictor, {})
    torch.testing.assert_close(load_classifier(tmp_path, OutcomePredictor)(*inputs), logits)
    with pytest.raises(UserError, match="expected 1 to 32 steps"):
        predictor(inputs[0], torch.zeros(9, 33, 10), inputs[2])
    with pytest.raises(UserError, match="expected commanded poses"):
        PredictorExamples([dataclasses.replace(c, proprio_FP=None) for c in made(2, 0)], POSES, None)
    with pytest.raises(UserError, match="expected both outcomes"):
        PredictorExamples(made(10, 0)[1::2], POSES, None)
