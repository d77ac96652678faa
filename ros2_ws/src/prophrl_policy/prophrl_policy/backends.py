"""A verified bundle as a function from observation and noise to a chunk in metres, radians, openness.

Two runtimes give the same numbers: ONNX Runtime (here; CUDA when it is there) and torch
(``torch_backend.py``, imported only when asked for). B batch, T chunk step, D action dimension,
P proprioception, H W image, L token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from prophrl_core.bundle import ONNX_NAME, Bundle
from prophrl_core.errors import UserError

from prophrl_policy.instruction import tokenize
from prophrl_policy.normalisation import Statistics

BACKENDS = ("onnx", "torch")
SMOKE_TOLERANCE = 2e-3  # m, rad or openness: other hardware, same weights


class ChunkPolicy(ABC):
    """One bundle on one runtime. ``provider`` says what runs it."""

    provider: str

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.statistics = Statistics.from_json(bundle.statistics)
        action = bundle.manifest.action
        if len(self.statistics.action_low_D) != action.dims or len(self.statistics.proprio_mean_P) != (
            bundle.manifest.proprioception_dims
        ):
            raise UserError(
                f"{bundle.path}: expected statistics of {action.dims} action and {bundle.manifest.proprioception_dims} "
                f"proprioception dimensions, got {len(self.statistics.action_low_D)} and "
                f"{len(self.statistics.proprio_mean_P)}; export the bundle again"
            )

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(T, D): what to draw from a standard normal for one chunk."""
        return self.bundle.manifest.action.chunk_steps, self.bundle.manifest.action.dims

    def infer(self, image_HWC: np.ndarray, proprio_P: np.ndarray, instruction: str, noise_TD: np.ndarray) -> np.ndarray:
        """One chunk (T, D) in units from one prepared image (uint8), proprioception in units and noise."""
        return self.infer_batch(image_HWC[None], proprio_P[None], [instruction], noise_TD[None])[0]

    def infer_batch(
        self, image_BHWC: np.ndarray, proprio_BP: np.ndarray, instructions: list[str], noise_BTD: np.ndarray
    ) -> np.ndarray:
        """Chunks (B, T, D); every part has batch B."""
        size = self.bundle.manifest.image.size
        if image_BHWC.shape[1:] != (size, size, 3) or image_BHWC.dtype != np.uint8:
            raise ValueError(f"expected uint8 images (B, {size}, {size}, 3), got {image_BHWC.dtype} {image_BHWC.shape}")
        normalised_BTD = self._run(
            np.ascontiguousarray(image_BHWC),
            self.statistics.normalise_proprio(proprio_BP),
            np.stack([tokenize(text) for text in instructions]),
            noise_BTD.astype(np.float32),
        )
        return self.statistics.restore_actions(normalised_BTD)

    @abstractmethod
    def _run(
        self, image_BHWC: np.ndarray, proprio_BP: np.ndarray, tokens_BL: np.ndarray, noise_BTD: np.ndarray
    ) -> np.ndarray:
        """Normalised chunks (B, T, D) float32."""

    def check_smoke(self) -> float:
        """Infer on the stored observation; the largest deviation from the stored chunk, in units.

        Raises UserError when it is above ``SMOKE_TOLERANCE`` or not finite.
        """
        smoke = self.bundle.smoke("image", "proprio", "noise", "chunk")
        try:
            chunk_TD = self.infer(smoke["image"], smoke["proprio"], self.bundle.manifest.instruction, smoke["noise"])
            error = float(np.abs(chunk_TD - smoke["chunk"]).max())
        except Exception as failure:  # shapes and graphs of any kind, from a file that somebody else wrote
            first = (str(failure).splitlines() or [""])[0]
            raise UserError(
                f"{self.bundle.path}: smoke inference on {self.provider} failed ({type(failure).__name__}: {first}); "
                "export the bundle again"
            ) from None
        if not error <= SMOKE_TOLERANCE:
            raise UserError(
                f"{self.bundle.path}: smoke inference on {self.provider}: expected the stored chunk within "
                f"{SMOKE_TOLERANCE}, got a deviation of {error:.3g}; export the bundle again"
            )
        return error


class OnnxPolicy(ChunkPolicy):
    """ONNX Runtime with the CUDA provider when this build has it, else the CPU with one thread."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [p for p in wanted if p in onnxruntime.get_available_providers()]
        path = bundle.file(ONNX_NAME)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise UserError(f"{path}: ONNX Runtime cannot load it ({first}); export the bundle again") from None
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.statistics.require(metadata.get("statistics", ""), str(path))
        cuda = "CUDAExecutionProvider" in self._session.get_providers()
        self.provider = "onnxruntime-cuda" if cuda else "onnxruntime-cpu"

    def _run(
        self, image_BHWC: np.ndarray, proprio_BP: np.ndarray, tokens_BL: np.ndarray, noise_BTD: np.ndarray
    ) -> np.ndarray:
        feed = {"image": image_BHWC, "proprio": proprio_BP, "tokens": tokens_BL, "noise": noise_BTD}
        return self._session.run(None, feed)[0]


def load_policy(bundle: Bundle, backend: str = "onnx") -> ChunkPolicy:
    """The bundle on ``backend`` ("onnx" or "torch"), statistics checked; UserError says what is wrong."""
    if backend == "onnx":
        return OnnxPolicy(bundle)
    if backend == "torch":
        try:
            from prophrl_policy.torch_backend import TorchPolicy
        except ModuleNotFoundError as error:
            raise UserError(f"backend torch: expected torch to be installed, found no {error.name}; use onnx") from None
        return TorchPolicy(bundle)
    raise UserError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
