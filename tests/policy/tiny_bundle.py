"""A bundle with a tiny random network: everything a real one has, in a second."""

import dataclasses

import numpy as np
import torch
from prophrl_core.action import ActionSpec
from prophrl_core.bundle import Bundle, BundleManifest
from prophrl_core.task import PolicyImage
from prophrl_policy.export_onnx import write_policy_bundle
from prophrl_policy.normalisation import Statistics
from prophrl_policy.small_policy import SmallPolicy, SmallPolicyConfig


def make_bundle(path, seed=0) -> Bundle:
    """Write it to ``path``; ``seed`` draws weights, statistics and the smoke observation."""
    image = PolicyImage()
    torch.manual_seed(seed)
    config = SmallPolicyConfig(image_size=image.size, channels=8, keypoints=8, width=64, blocks=2, flow_steps=3)
    network = SmallPolicy(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    rng = np.random.default_rng(seed)
    statistics = Statistics.measure(rng.normal(0, 0.02, (100, 7)), rng.normal(0, 0.2, (100, 10)))
    manifest = BundleManifest(
        name="tiny",
        task="grasp_bottle",
        instruction="grasp the bottle and lift it up",
        architecture="small_flow",
        architecture_config=dataclasses.asdict(config),
        action=ActionSpec(),
        spec_id="",
        image=image,
        proprioception_dims=10,
        flow_steps=config.flow_steps,
        statistics_sha256="",
        command="test",
        seed=seed,
        metrics={},
        files={},
    )
    pixels = rng.integers(0, 256, (image.size, image.size, 3), np.uint8)
    return write_policy_bundle(path, network, statistics, manifest, pixels, rng.normal(0, 0.2, 10), {})
