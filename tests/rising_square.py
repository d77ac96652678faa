"""Clips of a square that rises, or not, and LeRobot datasets of them: what judges and predictors are tested on."""

import numpy as np
from prophrl_training.classifier_training import ClassifierTraining
from prophrl_training.datasets import statistics
from prophrl_training.datasets.dataset_writer import write_dataset
from prophrl_training.datasets.features import Feature
from prophrl_training.datasets.metadata_writer import DatasetSpec
from prophrl_training.datasets.parts import read_part, write_part
from prophrl_training.datasets.video_writer import VideoSettings, encode
from prophrl_training.judge import JudgeConfig
from prophrl_training.labelled_clips import Clip
from prophrl_training.outcome_predictor import PredictorConfig

SMALL = JudgeConfig(size=32, frames=3, stride=2, widths=(8, 16, 16), pooled=8, hidden=16)
POSES = PredictorConfig(size=32, horizon=32, widths=(8, 8, 16), width=16, layers=1, heads=2)
QUICK = ClassifierTraining(steps=60, batch=32, learning_rate=4e-3, warmup=5, ema=0.9, log_every=5, validate_every=30)
SQUARE = 8


def clip(seed, succeeds, steps=24, size=32, imagined=False):
    """A square on a noisy ground; in a success it rises by half the picture from step 8 on and stays there."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(40, 120) + rng.normal(0, 6, (steps, size, size, 3))
    x, y = rng.integers(0, size - SQUARE), rng.integers(size // 2, size - SQUARE)
    height = np.clip(np.arange(steps) - 8, 0, 8) * (size / 2) / 8 if succeeds else np.zeros(steps)
    poses = np.zeros((steps, 10), np.float32)
    poses[:, 2] = np.linspace(0.3, 0.1, steps) if succeeds else 0.3
    poses[:, :2] = rng.normal(0.4, 0.1, 2)
    for t in range(steps):
        top = y - int(height[t])
        ground[t, max(0, top) : top + SQUARE, x : x + SQUARE] = (230, 200, 60)
    frames = np.clip(ground, 0, 255).astype(np.uint8)
    return Clip(f"clip {seed}", frames, height >= size / 2, np.arange(steps), poses, imagined)


def clips(n, first=0, **kind):
    return [clip(first + i, i % 2 == 0, **kind) for i in range(n)]


def dataset(folder, made, truth=True, outcomes=True, cells=1, rows="bool", task="grasp_bottle"):
    """A LeRobot dataset of clips, pictures as the fast environment writes them."""
    parts, features = [], None
    size = made[0].frames_FSS3.shape[1]
    for i, c in enumerate(made):
        listed = [Feature("observation.proprio", "float32", (10,)),
                  Feature("observation.images.front", "video", (size, size, 3))]  # fmt: skip
        columns = {"observation.proprio": c.proprio_FP}
        if truth:
            listed.append(Feature("truth.success", rows, (1,)))
            columns["truth.success"] = c.success_F.astype(rows)
        features = {f.name: f for f in listed}
        part = folder.with_name(folder.name + "-parts") / str(i)
        part.mkdir(parents=True)
        encode(part / "observation.images.front.mp4", c.frames_FSS3, 10, VideoSettings(crf=10))
        stats = {name: statistics.of_column(values) for name, values in columns.items()}
        stats["observation.images.front"] = statistics.of_pictures(c.frames_FSS3[::8])
        facts = {"cell": f"cell{i // 2 % cells}"}
        if outcomes:
            facts["outcome"] = outcomes if isinstance(outcomes, str) else "success" if c.succeeded else "failure"
        write_part(part, columns, "grasp the bottle", stats, facts, features)
        parts.append(read_part(part)[0])
    write_dataset(folder, DatasetSpec(10, "ur30", features, {"task": task} if task else {}), parts)
    return folder
