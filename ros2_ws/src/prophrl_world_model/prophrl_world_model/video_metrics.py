"""How close an imagined clip is to the real one: PSNR, SSIM and optical flow (method.md section 2, evaluation).

Clips are uint8 (F, H, W, 3). Flow is Farneback's between consecutive frames of each clip, in pixels.
"""

import dataclasses
from itertools import pairwise

import cv2
import numpy as np

FARNEBACK = {
    "pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2, "flags": 0,
}  # fmt: skip
MOVING = 1.0  # px: real motion of at least this counts for the cosine
RESTING = 0.1  # px: imagined motion of less has no direction; of two equal frames Farneback says as much at the border
BEST_PSNR = 100.0  # dB, of equal frames


def _checked(real: np.ndarray, imagined: np.ndarray) -> None:
    if real.shape != imagined.shape or real.ndim != 4 or real.dtype != np.uint8 or imagined.dtype != np.uint8:
        raise ValueError(
            f"expected two uint8 clips (F, H, W, 3), got {real.dtype} {real.shape}, {imagined.dtype} {imagined.shape}"
        )


def psnr(real_FHW3: np.ndarray, imagined_FHW3: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio (F,) in dB, at most 100."""
    _checked(real_FHW3, imagined_FHW3)
    error = np.square(real_FHW3.astype(np.float64) - imagined_FHW3).mean(axis=(1, 2, 3))
    return np.minimum(10 * np.log10(255.0**2 / np.maximum(error, 1e-12)), BEST_PSNR)


def ssim(real_FHW3: np.ndarray, imagined_FHW3: np.ndarray) -> np.ndarray:
    """Structural similarity (F,): Gaussian window of 11 pixels, sigma 1.5, without the border, mean of the channels."""
    _checked(real_FHW3, imagined_FHW3)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (11, 11), 1.5)[5:-5, 5:-5]

    values = []
    for a, b in zip(real_FHW3.astype(np.float64), imagined_FHW3.astype(np.float64), strict=True):
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
        values.append((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean())
    return np.array(values)


def optical_flow(clip_FHW3: np.ndarray) -> np.ndarray:
    """Farneback flow (F - 1, H, W, 2) in pixels a frame."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip_FHW3]
    return np.stack([cv2.calcOpticalFlowFarneback(a, b, None, **FARNEBACK) for a, b in pairwise(grey)])


def flow_errors(
    real_flow: np.ndarray, imagined_flow: np.ndarray, moving: float = MOVING
) -> tuple[np.ndarray, np.ndarray]:
    """End-point error (F,) and cosine (F,) of two flows (F, H, W, 2).

    The cosine is over the pixels that really move by ``moving`` pixels or more; NaN where none does. A pixel that
    should move and does not counts as 0.
    """
    u, v = real_flow.astype(np.float64), imagined_flow.astype(np.float64)
    epe = np.linalg.norm(u - v, axis=-1).mean(axis=(1, 2))
    nu, nv = np.linalg.norm(u, axis=-1), np.linalg.norm(v, axis=-1)
    counts = nu >= moving
    cosine = np.where(nv >= RESTING, (u * v).sum(-1) / np.maximum(nu * nv, 1e-12), 0.0)
    number = counts.sum(axis=(1, 2))
    total = np.where(counts, cosine, 0.0).sum(axis=(1, 2))
    return epe, np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """Of one clip, a value a frame; flow values have one fewer."""

    psnr_F: np.ndarray
    ssim_F: np.ndarray
    epe_F: np.ndarray
    cos_F: np.ndarray

    def means(self) -> dict[str, float]:
        """Mean over time of each; cos over the frames in which something moves, NaN when nothing does."""
        moving = self.cos_F[np.isfinite(self.cos_F)]
        return {
            "psnr": float(self.psnr_F.mean()), "ssim": float(self.ssim_F.mean()), "epe": float(self.epe_F.mean()),
            "cos": float(moving.mean()) if len(moving) else float("nan"),
        }  # fmt: skip


def fidelity(real_FHW3: np.ndarray, imagined_FHW3: np.ndarray) -> Fidelity:
    """All metrics of an imagined clip against the real one; both begin with the given frame."""
    _checked(real_FHW3, imagined_FHW3)
    epe, cos = flow_errors(optical_flow(real_FHW3), optical_flow(imagined_FHW3))
    return Fidelity(psnr(real_FHW3, imagined_FHW3), ssim(real_FHW3, imagined_FHW3), epe, cos)
