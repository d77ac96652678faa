"""A bundle on torch: the same numbers as ONNX Runtime, and weights that training can go on from."""

from __future__ import annotations

import numpy as np
import torch
from prophrl_core.bundle import WEIGHTS_NAME, Bundle
from prophrl_core.errors import UserError
from safetensors import SafetensorError, safe_open

from prophrl_policy.backends import ChunkPolicy
from prophrl_policy.flow_policy import FlowPolicy
from prophrl_policy.small_policy import SmallPolicy, SmallPolicyConfig

ARCHITECTURES = {"small_flow": (SmallPolicy, SmallPolicyConfig)}


def build_network(bundle: Bundle) -> tuple[FlowPolicy, str]:
    """The network of a bundle with its weights, and the digest of the statistics they were trained with."""
    manifest = bundle.manifest
    if manifest.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"{bundle.path}: expected an architecture of {known}, got {manifest.architecture!r}")
    network_class, config_class = ARCHITECTURES[manifest.architecture]
    path = bundle.file(WEIGHTS_NAME)
    try:
        with safe_open(path, "pt") as weights:
            digest = (weights.metadata() or {}).get("statistics", "")
            state = {name: weights.get_tensor(name).float() for name in weights.keys()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); export it again") from None
    try:
        network = network_class(config_class(**manifest.architecture_config))
        network.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path}: weights and architecture_config do not fit ({first}); export it again") from None
    return network.eval(), digest


class TorchPolicy(ChunkPolicy):
    """Eager torch on the GPU when there is one, else the CPU."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        network, digest = build_network(bundle)
        self.statistics.require(digest, WEIGHTS_NAME)
        self.provider = "torch-cuda" if torch.cuda.is_available() else "torch-cpu"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)

    @torch.inference_mode()
    def _run(
        self, image_BHWC: np.ndarray, proprio_BP: np.ndarray, tokens_BL: np.ndarray, noise_BTD: np.ndarray
    ) -> np.ndarray:
        feed = (torch.from_numpy(part).to(self._device) for part in (image_BHWC, proprio_BP, tokens_BL, noise_BTD))
        return self._network(*feed).cpu().numpy()
