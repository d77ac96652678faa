"""A Prophet small enough for tests, and no more than one thread for its arithmetic."""

import dataclasses

import pytest
from one_thread import one_thread  # noqa: F401
from prophrl_world_model.config import AutoencoderConfig, ProphetConfig

MINIATURE = ProphetConfig(
    "miniature", 32, 48, chunk_steps=8, heads=2, head_dim=24, layers=2, adaln_dim=16, text_dim=20, arms=2,
    padding_channel=False, memory_pools=(1, 2, 4), history_frames=6,
    autoencoder=AutoencoderConfig(
        base_dim=4, dim_mult=(1, 1, 2, 2), residual_blocks=1, channels=8, mean=(0.1,) * 8, std=(0.7,) * 8,
    ),
)  # fmt: skip


@pytest.fixture
def miniature():
    """Maker of configurations: the miniature with some fields replaced."""
    return lambda **changes: dataclasses.replace(MINIATURE, **changes)
