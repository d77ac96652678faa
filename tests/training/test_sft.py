"""The training loop: batches are pure, a killed run resumes bit for bit, and the numbers stay what they are."""

import argparse
import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prophrl_core.cell import CameraSpec  # noqa: E402
from prophrl_core.errors import UserError  # noqa: E402
from prophrl_core.task import PolicyImage  # noqa: E402
from prophrl_policy.normalisation import Statistics  # noqa: E402
from prophrl_policy.small_policy import SmallPolicy, SmallPolicyConfig  # noqa: E402
from prophrl_training import sft  # noqa: E402
from prophrl_training.commands import sft as sft_command  # noqa: E402
from prophrl_training.dataset import ChunkDataset  # noqa: E402
from prophrl_training.demonstrations import Demonstrations  # noqa: E402
from prophrl_training.schedule import cosine_rate  # noqa: E402

CAMERA = CameraSpec("front", "injected", (1.02, 0.0, 0.82, -1.88683, -1.88683, 0.57129))
NETWORK = SmallPolicyConfig(image_size=32, channels=8, keypoints=8, width=48, blocks=1, flow_steps=4)
GOLDEN_FIRST, GOLDEN_LAST = 0.25869, 0.20866
CONFIG = sft.SftConfig(steps=12, batch=8, draws=2, log_every=3, validate_every=6, checkpoint_every=4, warmup=2)


def demonstrations(seed=0):
    rng = np.random.default_rng(seed)
    lengths = [15, 9, 12]
    steps = sum(lengths)
    actions = rng.normal(0, 0.01, (steps, 7)).astype(np.float32)
    actions[:, 6] = rng.integers(0, 2, steps)
    return Demonstrations(
        rng.integers(0, 256, (steps, 32, 32, 3), np.uint8),
        rng.normal(0.3, 0.2, (steps, 10)).astype(np.float32),
        actions,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.arange(3),
        {"task": "t", "instruction": "grasp the bottle", "spec_id": "x", "cell": "sim", "attempts": "3"},
    )


def prepare(folder, config=CONFIG, seed=0):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = demonstrations(seed)
    statistics = Statistics.measure(data.actions_ND, data.proprio_NP)
    dataset = ChunkDataset(data, statistics, 20, CAMERA, PolicyImage())
    return sft.Trainer(SmallPolicy(NETWORK), config, folder, statistics), dataset


def train(folder, config=CONFIG):
    trainer, dataset = prepare(folder, config)
    trainer.run(dataset, dataset, lambda row: None)
    return trainer


KILLED_RUN = """
import sys, time
from test_sft import CONFIG, prepare
from pathlib import Path
trainer, dataset = prepare(Path(sys.argv[1]))
def report(row):
    print(row["step"], flush=True)
    if row["step"] >= 9:
        time.sleep(60)
trainer.run(dataset, dataset, report)
"""


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    """SIGKILL after step 9, checkpoint at step 8: the resumed run ends with the very same numbers."""
    whole = train(tmp_path / "whole")
    paths = [os.path.dirname(__file__), *sys.path]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)},
    )
    try:
        for line in process.stdout:
            if line.strip() == "9":
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert (tmp_path / "killed" / sft.CHECKPOINT_NAME).is_file()
    resumed, dataset = prepare(tmp_path / "killed")
    steps = []
    resumed.run(dataset, dataset, lambda row: steps.append(row["step"]))
    assert steps == [9, 12]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
        assert torch.equal(whole.average.weights[name], resumed.average.weights[name]), name
    curves = [
        [line.rsplit(",", 1)[0] for line in (tmp_path / run / sft.CURVE_NAME).read_text().splitlines()]
        for run in ("whole", "killed")
    ]
    assert curves[0][-1] == curves[1][-1]


def test_golden_loss(tmp_path):
    """Fixed seeds, fixed numbers: a change here is a change of the method and needs a reason."""
    trainer, dataset = prepare(tmp_path)
    first = sft.losses(trainer.network, dataset.batch(8, 0, 0, CONFIG.augmentation), 2, sft._generator(0, 0))[0]
    last = trainer.run(dataset, None, lambda row: None)
    assert float(first.detach()) == pytest.approx(GOLDEN_FIRST, rel=1e-3)
    assert last["loss"] == pytest.approx(GOLDEN_LAST, rel=1e-2)


def test_other_settings_do_not_resume_a_run(tmp_path):
    train(tmp_path)
    with pytest.raises(UserError, match="other settings"):
        train(tmp_path, dataclasses.replace(CONFIG, learning_rate=5e-4))


def test_learning_reduces_the_loss(tmp_path):
    config = dataclasses.replace(CONFIG, steps=100, batch=16, learning_rate=2e-3, warmup=10, ema=0.95)
    trainer, dataset = prepare(tmp_path, config)
    before = trainer.validate(dataset)
    trainer.run(dataset, None, lambda row: None)
    assert trainer.validate(dataset) < 0.9 * before


def test_divergence_is_one_line(tmp_path):
    trainer, dataset = prepare(tmp_path)
    with torch.no_grad():
        trainer.network.leave.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite at step 0"):
        trainer.run(dataset, None, lambda row: None)


def test_learning_rate_warms_up_and_decays():
    rates = [cosine_rate(step, 1000, peak=1.0, warm_up=100, final_share=0.1) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == pytest.approx(1.0)
    assert np.argmax(rates) in (99, 100) and rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert (np.diff(rates[100:]) < 0).all()


def test_a_folder_of_other_files_is_refused_before_training(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    arguments = argparse.Namespace(task="grasp_bottle", cell="sim", out=tmp_path)
    with pytest.raises(UserError, match="expected nothing there or a policy bundle, found other files"):
        sft_command.run(arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
