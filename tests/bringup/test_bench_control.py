"""The arithmetic of ``bench control`` on signals whose answers are known."""

import numpy as np
import pytest
from prophrl_bringup.bench import control, servo_task
from prophrl_core import action


def test_lag_of_a_delayed_copy_is_the_delay(monkeypatch):
    monkeypatch.setattr(control, "_tool_y", lambda q: q[:, 1])
    t = np.arange(0.0, 20.0, 0.008)
    y = servo_task.AMPLITUDE_M * np.sin(0.5 * np.pi * t)
    fine = np.arange(0.0, 20.0, 0.002)
    late = servo_task.AMPLITUDE_M * np.sin(0.5 * np.pi * (fine - 0.037))
    motion = [(x, 0.0, [0.0] * 6, [0.0, v, 0, 0, 0, 0]) for x, v in zip(fine, late, strict=True)]
    lags = control._lag(t, y, motion)
    assert len(lags) > 30 and np.median(lags) == pytest.approx(0.037, abs=5e-4)


def test_errors_and_missed_cycles_of_a_known_train_of_commands():
    issued = np.array([0.0, 0.008, 0.017, 0.041, 0.049])
    timing = control.Timing(125, issued, issued, np.array([0.04]))
    assert timing.error_ms() == pytest.approx([0.0, 1.0, 16.0, 0.0])
    assert timing.missed == 2
    found = control.figures({(control.OURS, 125): timing, (control.PLAIN, 125): timing})
    names = [figure.name for figure in found]
    assert "control.125hz.period_error.p99" in names and "control.command_to_motion.p50" in names
    assert len(names) == len(set(names))
    assert all(f.against for f in found if f.name.startswith("control.125hz"))


def test_the_task_as_chunks_is_the_task_as_positions():
    actions = servo_task.chunk(3.0, 20, 0.1, 1.0)
    poses, _ = action.integrate(np.diag([1.0, -1.0, -1.0, 1.0]), actions)
    moved = poses[-1][1, 3]
    assert moved == pytest.approx(servo_task.sideways(5.0) - servo_task.sideways(3.0), abs=1e-9)
