"""A calibration goes into the cell's YAML and nothing else changes; a bad one never replaces a good one unasked."""

import dataclasses
import datetime

import numpy as np
import pytest
from prophrl_calibration import cell_file, hand_eye
from prophrl_core import se3
from prophrl_core.cell import load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError

from calibration import synthetic_views as synthetic


@pytest.fixture(scope="module")
def made():
    outcome = hand_eye.calibrate(synthetic.problem(synthetic.varied(8)))
    return hand_eye.pose(outcome), hand_eye.record(outcome, np.zeros((8, 6)), datetime.datetime(2026, 1, 1))


@pytest.mark.parametrize("name", ["sim", "ur30e"])
def test_only_the_cameras_fields_change_and_comments_stay(tmp_path, made, name):
    path = tmp_path / "cell.yaml"
    before = find_config("cells", name).read_text()
    path.write_text(before)
    for _ in range(2):  # the second time it replaces what it wrote
        cell_file.write_calibration(path, "front", "T_base_camera", *made)
    after, cell = path.read_text(), load_cell(path)
    gone = [line for line in before.splitlines() if line not in after.splitlines()]
    assert all("T_base_camera" in line for line in gone) and len(gone) == 1
    assert cell.camera("front").calibration == made[1]
    assert np.allclose(cell.camera("front").pose, se3.pose_from_rotvec(np.array(made[0])))
    original = load_cell(name)
    bare = dataclasses.replace(
        cell.camera("front"), calibration=None, T_base_camera=original.camera("front").T_base_camera
    )
    assert dataclasses.replace(cell, cameras=(bare,)) == original
    assert after.count("calibration:") == 1


def test_a_worse_calibration_is_refused_unless_forced(made):
    camera = dataclasses.replace(load_cell("sim").camera("front"), calibration=made[1])
    worse = dataclasses.replace(made[1], within_mm=3 * made[1].within_mm, held_out_mm=3 * made[1].held_out_mm)
    with pytest.raises(UserError, match="better calibration"):
        cell_file.check_better(camera, worse, force=False)
    cell_file.check_better(camera, worse, force=True)
    cell_file.check_better(dataclasses.replace(camera, calibration=worse), made[1], force=False)


def test_the_hash_changes_with_pose_and_record(made):
    T, record = made
    others = {
        hand_eye.calibration_hash((T[0] + 1e-4, *T[1:]), record),
        hand_eye.calibration_hash(T, dataclasses.replace(record, date="2026-01-02T00:00:00")),
    }
    assert hand_eye.calibration_hash(T, record) == record.hash and record.hash not in others and len(others) == 2


def test_single_fields_are_set_and_a_bad_value_leaves_the_file_alone(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text(find_config("cells", "ur30e").read_text())
    intrinsics = [610.5, 611.0, 320.1, 239.0, 0.01, -0.02, 0.0, 0.0, 0.0]
    cell_file.set_fields(path, "front", {"latency": 0.0417, "intrinsics": intrinsics})
    cell_file.set_fields(path, "front", {"latency": 0.035})
    camera = load_cell(path).camera("front")
    assert (
        camera.latency == 0.035 and camera.measured_model.fx == 610.5 and camera.measured_model.distortion[1] == -0.02
    )
    before = path.read_text()
    with pytest.raises(UserError, match="latency"):
        cell_file.set_fields(path, "front", {"latency": 7.0})
    assert path.read_text() == before and len(list(tmp_path.iterdir())) == 1
