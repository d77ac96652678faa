"""The daily check and the latency measurement on drawn pictures with known truth."""

import dataclasses

import numpy as np
from prophrl_cell.arm.envelope import Envelope
from prophrl_core import se3
from prophrl_core.cell import CellSpec

from prophrl_calibration import check, latency, proposals, refine, rig
from prophrl_calibration.bench_hand_eye import Case, displaced, pictured
from prophrl_calibration.detection import detect
from prophrl_calibration.drawing import Sensor, photograph
from prophrl_calibration.views import Mount, Problem, View

BUMP_M, BUMP_RAD = 0.005, np.radians(0.5)
DELAYS = (0.0, 0.030, 0.080)  # s
_CALIBRATION_POSES = 12
_SECONDS, _FPS, _JOINT_HZ = 4.0, 30.0, 125.0


def bump(seed: int) -> np.ndarray:
    """A knock of 5 mm, or (odd seeds) of half a degree, some way: (6,)."""
    way = np.random.default_rng([seed, 3]).normal(size=3)
    way /= np.linalg.norm(way)
    return np.concatenate([np.zeros(3), BUMP_RAD * way]) if seed % 2 else np.concatenate([BUMP_M * way, np.zeros(3)])


def check_run(cell: CellSpec, envelope: Envelope, seed: int, noise: float) -> tuple[check.Verdict, check.Verdict]:
    """Verdicts on a camera that stayed, and on one that was bumped, after a calibration of the same seed."""
    mount = list(Mount)[seed // 2 % 2]
    nominal = rig.nominal(cell, mount, cell.cameras[0].name)
    home = np.array(cell.robot.home)
    poses = proposals.propose(envelope, home, nominal, proposals.Search(poses=_CALIBRATION_POSES, candidates=150), seed)
    problem, X, _ = pictured(nominal, poses, Case("usual"), noise, np.random.default_rng([seed, 11]))
    calibrated = refine.solve(problem)
    rng, verdicts = np.random.default_rng([seed, 12]), []
    for moved in (X, X @ se3.pose_from_rotvec(bump(seed))):
        today = dataclasses.replace(nominal, X=moved, Y=displaced(nominal.Y, rng))
        views = []
        for pose in proposals.most_telling(nominal, poses, check.POSES):
            seen = today.seen_at(pose.T_base_tool0)
            picture = photograph(today.target, seen, today.camera, Sensor(noise), rng)
            views.append(View(f"pose {len(views) + 1}", pose.T_base_tool0, detect(picture, today.target)))
        verdicts.append(check.judge(Problem(mount, nominal.target, nominal.camera, tuple(views)), calibrated.X))
    return tuple(verdicts)


def latency_run(cell: CellSpec, envelope: Envelope, delay: float, seed: int, noise: float) -> float:
    """What is measured (s) when stamps are late by ``delay``; the arm waves a board, stamps jitter by a millisecond."""
    nominal = rig.nominal(cell, Mount.EYE_TO_HAND, cell.cameras[0].name)
    rng, T_home = (
        np.random.default_rng([seed, 5]),
        envelope.tcp(np.array(cell.robot.home)) @ se3.inverse(envelope.T_tool0_tcp),
    )

    def place(t):
        return 0.04 * np.stack([np.zeros_like(t), np.sin(4.1 * t + 0.6 * np.sin(1.7 * t)), 0.5 * np.sin(2.9 * t)], -1)

    exposed = 0.4 + np.arange(int(_SECONDS * _FPS)) / _FPS + 0.001 * rng.uniform(-1, 1, int(_SECONDS * _FPS))
    small = []
    for offset in place(exposed):
        T = T_home.copy()
        T[:3, 3] += offset
        light = np.random.default_rng(seed)  # the same for all pictures
        picture = photograph(nominal.target, nominal.seen_at(T), nominal.camera, Sensor(0.0), light)
        noisy = picture + rng.normal(0.0, noise, picture.shape) if noise else picture
        small.append(latency.small_grey(np.clip(noisy, 0, 255).astype(np.uint8)))
    flow = np.array([np.zeros(2)] + [latency.mean_flow(a, b) for a, b in zip(small, small[1:])])
    times = np.arange(0.0, _SECONDS + 1.0, 1 / _JOINT_HZ)
    return latency.measure(exposed + delay, flow, times, place(times)).seconds
