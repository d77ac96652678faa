"""Factory intrinsics are verified; own ones are found where they are off, and refused where pictures cannot tell."""

import dataclasses

import numpy as np
import pytest
from calibration.synthetic_views import CAMERA, TARGET
from prophrl_calibration import intrinsics
from prophrl_calibration.detection import Corners
from prophrl_core import se3
from prophrl_core.errors import UserError

TRUE = dataclasses.replace(CAMERA, fx=628.0, fy=627.0, cx=325.0, distortion=(0.04, -0.05, 0.001, 0.0, 0.0))


def pictures(n: int, tilt: float = 0.6, aside: float = 1.0):
    rng, taken = np.random.default_rng(0), []
    while len(taken) < n:
        depth = rng.uniform(0.3, 0.6)
        place = [aside * 0.45 * depth * rng.uniform(-1, 1), aside * 0.33 * depth * rng.uniform(-1, 1), depth]
        R = se3.rotvec_to_matrix(tilt * rng.uniform(-1, 1, 3))
        seen = (TARGET.corners_N3 - [TARGET.width / 2, TARGET.height / 2, 0]) @ R.T + place
        pixels, _ = TRUE.project(seen)
        inside = ((pixels > 2) & (pixels < [637, 477])).all(1)
        if inside.sum() >= 12:
            noisy = pixels + 0.08 * rng.normal(size=pixels.shape)
            taken.append(Corners(np.flatnonzero(inside), noisy[inside]))
    return taken


def test_wrong_values_are_noticed_and_own_ones_found():
    views = pictures(20)
    given = intrinsics.verify(views, TARGET, CAMERA)
    own = intrinsics.estimate(views, TARGET, CAMERA)
    assert intrinsics.own_are_better(given, own)
    assert not intrinsics.own_are_better(intrinsics.verify(views, TARGET, TRUE), own)
    halved = dataclasses.replace(CAMERA, fx=307.0, fy=560.0)
    assert intrinsics.verify(views, TARGET, TRUE).rms < 0.35 < intrinsics.verify(views, TARGET, halved).rms, "px"
    assert abs(own.camera.fx - TRUE.fx) < 2.0 and abs(own.camera.cx - TRUE.cx) < 2.0


@pytest.mark.parametrize(
    "views, advice",
    [(pictures(4), "take more"), (pictures(10, aside=0.1), "corners and edges"), (pictures(20, tilt=0.1), "tilt it")],
)
def test_pictures_that_cannot_tell_are_refused_with_advice(views, advice):
    with pytest.raises(UserError, match=advice):
        intrinsics.estimate(views, TARGET, CAMERA)
