"""A small simulated dataset, and a Prophet small enough to train on it in seconds."""

import yaml
from prophrl_bringup.cli import dispatch
from prophrl_core.config_path import find_config
from prophrl_world_model.config import OUR_ACTIONS, AutoencoderConfig, ProphetConfig

SIZE = 32
SMALL = ProphetConfig(
    "small-enough", SIZE, SIZE, chunk_steps=8, heads=2, head_dim=24, layers=1, adaln_dim=16, text_dim=None, arms=1,
    padding_channel=False, memory_pools=(1, 2, 4), history_frames=6, frame_stream="tokens", frame_encoding="folded",
    frame_fold=4, action_scale=OUR_ACTIONS, time_scale=1000.0, state_objects=1,
    autoencoder=AutoencoderConfig(
        pixel_patch=2, base_dim=8, dim_mult=(1, 1, 2), residual_blocks=1, channels=8, mean=(0.0,) * 8, std=(1.0,) * 8
    ),
)  # fmt: skip


def small_task(folder, size=SIZE, horizon=32, **changes):
    """A YAML of grasp_bottle with small pictures and a short horizon."""
    task = yaml.safe_load(find_config("tasks", "grasp_bottle").read_text())
    task |= {"horizon_steps": horizon, "image": {"camera": "front", "crop": [80, 0, 480, 480], "size": size}} | changes
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(task))
    return path


def simulate(out, task, *words, cells=2, each=2, seed=5, workers=1):
    """``prophrl data simulate``; returns ``out``."""
    options = {"cells": cells, "each": each, "seed": seed, "workers": workers, "out": out, "task": task}
    assert dispatch(["data", "simulate", *words, *(f"--{k}={v}" for k, v in options.items())]) == 0
    return out


