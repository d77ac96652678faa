"""What the control port may do to a simulated camera, and the board that a cell description may put into the scene."""

import dataclasses

import numpy as np
import pytest
from prophrl_core import se3
from prophrl_core.cell import SimulatedBoard, load_cell
from prophrl_core.task import load_task
from prophrl_sim.camera_trouble import CameraTroubles, SensorNoise, bumped, camera_pose
from prophrl_sim.scene import build

TASK = load_task("grasp_bottle")
BUMP = (0.005, 0.0, 0.0, 0.0, 0.01, 0.0)


def cell(**simulator):
    sim = load_cell("sim")
    return dataclasses.replace(sim, simulator=dataclasses.replace(sim.simulator, **simulator))


def test_a_bump_moves_the_drawn_camera_and_the_stated_truth_and_ends():
    scene = build(cell(), TASK)
    troubles = CameraTroubles(scene.cell, scene.model)
    before = camera_pose(scene.model, "front")
    stated = troubles.request({"name": "front", "bump": BUMP})["T_parent_camera"]
    with bumped(scene.model, scene.data, "front", BUMP):
        assert np.allclose(se3.pose_to_rotvec(camera_pose(scene.model, "front")), stated, atol=1e-9)
        assert np.linalg.norm(camera_pose(scene.model, "front")[:3, 3] - before[:3, 3]) == pytest.approx(0.005)
    assert np.array_equal(camera_pose(scene.model, "front"), before)
    kept = troubles.request({"name": "front", "noise": 3})
    assert kept["T_parent_camera"] == stated, "what a request leaves out stays"
    troubles.memory.close()


@pytest.mark.parametrize(
    "message", [{}, {"name": "side"}, {"name": "front", "bump": [0.0] * 5}, {"name": "front", "bump": [9.0] * 6},
                {"name": "front", "noise": "loud"}, {"name": "front", "delay": -1}],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(message):
    scene = build(cell(), TASK)
    troubles = CameraTroubles(scene.cell, scene.model)
    with pytest.raises(ValueError, match="expected"):
        troubles.request(message)
    troubles.memory.close()


def test_noise_has_the_strength_that_was_asked_for_and_is_new_every_time():
    grey, noise = np.full((120, 160, 3), 128, np.uint8), SensorNoise()
    first, second = (noise.add(grey, 3.0).astype(float) - 128 for _ in range(2))
    assert np.std(first) == pytest.approx(3.0, abs=0.1) and np.std(first - second) > 3.5
    assert noise.add(grey, 0.0) is grey


def test_the_board_is_where_the_description_puts_it_and_absent_by_default():
    pose = (0.1, 0.02, 0.1, 0.3, 2.0, 0.1)
    bare, scene = build(cell(), TASK), build(cell(board=SimulatedBoard("tool0", pose)), TASK)
    assert scene.model.nq == bare.model.nq and scene.model.nbody == bare.model.nbody + 1
    with pytest.raises(KeyError):
        bare.model.body("charuco_board")
    scene.reset(0)
    tool, board = scene.data.body("tool0"), scene.data.body("charuco_board")
    T = se3.inverse(se3.transform(tool.xmat.reshape(3, 3), tool.xpos)) @ se3.transform(
        board.xmat.reshape(3, 3), board.xpos
    )
    assert np.allclose(se3.pose_to_rotvec(T), pose, atol=1e-9)
