"""The metrics against closed forms and a direct computation."""

import cv2
import numpy as np
import pytest
from prophrl_world_model import video_metrics


def texture(height=96, width=96, seed=0):
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * 255).astype(np.uint8)


def moving(pixels_per_frame, frames=5):
    """A textured window that moves right over a larger texture: the content moves left."""
    big = texture(96, 256)
    return np.stack([big[:, 40 + i * pixels_per_frame :][:, :96] for i in range(frames)])


def test_psnr_and_ssim_of_constant_frames():
    a, b = np.full((2, 32, 32, 3), 100, np.uint8), np.full((2, 32, 32, 3), 110, np.uint8)
    np.testing.assert_allclose(video_metrics.psnr(a, b), 10 * np.log10(255**2 / 100))
    assert (video_metrics.psnr(a, a) == 100).all()
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)
    np.testing.assert_allclose(video_metrics.ssim(a, b), expected, rtol=1e-6)
    np.testing.assert_allclose(video_metrics.ssim(moving(1), moving(1)), 1.0)
    assert (video_metrics.ssim(moving(1)[:1], 255 - moving(1)[:1]) < 0).all(), "structure inverted"


def test_flow_errors_of_known_flows():
    u = np.zeros((3, 8, 8, 2))
    u[..., 0] = 2.0
    u[:, :4] = 0.1  # half of the picture rests
    turned = np.stack([-u[..., 1], u[..., 0]], axis=-1)
    for v, epe, cosine in [(u, 0.0, 1.0), (turned, np.hypot(2, 2) / 2 + 0.1, 0.0), (-u, 2.0 + 0.2 / np.sqrt(2), -1.0)]:
        found = video_metrics.flow_errors(u, v)
        np.testing.assert_allclose(found[0], epe, atol=1e-9)
        np.testing.assert_allclose(found[1], cosine, atol=1e-9)
    for rest in (0.0, 1e-6, 0.04):  # what Farneback sees in equal frames is no direction
        np.testing.assert_array_equal(video_metrics.flow_errors(u, rest * u)[1], 0.0)
    assert np.isnan(video_metrics.flow_errors(0 * u, u)[1]).all()


def test_optical_flow_sees_a_translation_and_agrees_with_opencv():
    clip = moving(2)
    flow = video_metrics.optical_flow(clip)
    np.testing.assert_allclose(np.median(flow[:, 16:-16, 16:-16, 0]), -2.0, atol=0.1)
    direct = cv2.calcOpticalFlowFarneback(
        cv2.cvtColor(clip[1], cv2.COLOR_RGB2GRAY),
        cv2.cvtColor(clip[2], cv2.COLOR_RGB2GRAY),
        None,
        0.5,
        3,
        15,
        3,
        5,
        1.2,
        0,
    )
    np.testing.assert_array_equal(flow[1], direct)


def test_a_shuffled_or_frozen_clip_scores_worse():
    real = moving(3, frames=6)
    good = video_metrics.fidelity(real, np.clip(real.astype(int) + 3, 0, 255).astype(np.uint8)).means()
    shuffled = video_metrics.fidelity(real, real[[0, 3, 1, 5, 2, 4]]).means()
    frozen = video_metrics.fidelity(real, np.repeat(real[:1], 6, axis=0)).means()
    assert good["epe"] < 0.3 * min(shuffled["epe"], frozen["epe"])
    assert good["cos"] > 0.95 and shuffled["cos"] < 0.6 and abs(frozen["cos"]) < 0.2
    assert frozen["epe"] == pytest.approx(3.0, abs=0.6)


def test_clips_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="expected two uint8 clips"):
        video_metrics.fidelity(moving(1), moving(1)[:3])
    with pytest.raises(ValueError, match="expected two uint8 clips"):
        video_metrics.psnr(moving(1), moving(1).astype(float))
