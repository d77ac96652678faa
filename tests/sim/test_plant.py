"""The plant: servos follow, the gripper feels, forces are those of contacts, snapshots go on identically."""

import numpy as np
import pytest
from prophrl_core import se3
from prophrl_core.cell import load_cell
from prophrl_core.task import load_task
from prophrl_core.ur_kinematics import nearest_inverse
from prophrl_sim import scene as scene_module
from prophrl_sim.plant import Plant
from prophrl_sim.servo import ServoJ

CELL = load_cell("sim")
GRAVITY = 9.81


def make(task="grasp_bottle", seed=4):
    plant = Plant(scene_module.build(CELL, load_task(task)))
    plant.reset(seed)
    return plant


def joints_at(plant, T):
    q = nearest_inverse(CELL.robot.kinematics, T @ se3.inverse(CELL.robot.T_tool0_tcp), plant.q)
    assert q is not None
    return q


def move(plant, T, openness, seconds):
    """Servo to a TCP pose through servoJ and stay until the time is over."""
    servo = ServoJ(0.25 * np.array(CELL.robot.kinematics.max_speed))
    servo.reset(plant.q)
    target = joints_at(plant, T)
    for _ in range(round(seconds / plant.period)):
        plant.step(servo.step(target), openness)


def over_bottle(plant, height):
    T = plant.tcp_pose
    T[:3, 3] = [*plant.objects()["bottle"][:2, 3], height]
    return T


def grasp_bottle(plant):
    move(plant, over_bottle(plant, 0.25), 1.0, 1.0)
    move(plant, over_bottle(plant, 0.115), 1.0, 1.0)
    move(plant, plant.tcp_pose, 0.0, 0.8)


def test_joints_follow_a_moving_reference_closely():
    plant = make()
    start, speed = plant.q, np.array([0.5, -0.3, 0.4, 0.5, -0.5, 0.8])
    servo = ServoJ(CELL.robot.kinematics.max_speed)
    servo.reset(start)
    worst = 0.0
    for k in range(500):
        reference = servo.step(start + speed * k * plant.period)
        plant.step(reference, 1.0)
        worst = max(worst, np.abs(plant.q - reference).max())
    assert worst < 0.003
    assert plant.qd == pytest.approx(speed, abs=0.01)


def test_at_rest_the_arm_does_not_sag():
    plant = make()
    start = plant.q
    for _ in range(500):
        plant.step(start, 1.0)
    assert plant.q == pytest.approx(start, abs=1e-5)
    assert plant.tcp_force == pytest.approx(np.zeros(6), abs=1e-6)


def test_freedrive_floats_and_gives_way():
    plant = make()
    for _ in range(250):
        plant.step(None, 1.0)
    assert np.abs(plant.qd).max() < 0.01
    before = plant.tcp_pose[:3, 3]
    plant.push(np.array([0.0, 20.0, 0.0, 0.0, 0.0, 0.0]))
    for _ in range(250):
        plant.step(None, 1.0)
    assert plant.tcp_pose[1, 3] - before[1] > 0.01


def test_the_gripper_closes_on_nothing_and_on_the_bottle():
    plant = make()
    for _ in range(500):
        plant.step(plant.q, 0.0)
    assert plant.gripper_opening == pytest.approx(0.0, abs=0.01) and not plant.object_detected
    plant.reset(4)
    grasp_bottle(plant)
    assert plant.object_detected
    assert plant.opening_m == pytest.approx(0.055, abs=0.003)


def test_a_lifted_bottle_is_felt_with_its_weight_and_counts_after_the_hold():
    plant = make()
    grasp_bottle(plant)
    assert not plant.success()
    raised = plant.tcp_pose
    raised[2, 3] += 0.15
    move(plant, raised, 0.0, 1.5)
    weight = plant.scene.task.objects["bottle"].mass * GRAVITY
    assert plant.tcp_force[2] == pytest.approx(-weight, rel=0.1)
    assert plant.tcp_force[:2] == pytest.approx(np.zeros(2), abs=0.2)
    assert plant.success()


def test_pressing_on_the_table_pushes_back_up():
    plant = make()
    T = plant.tcp_pose
    T[:3, 3] = [0.5, 0.25, 0.05]
    move(plant, T, 0.0, 1.2)
    assert plant.tcp_force[2] == pytest.approx(0.0, abs=1e-6)
    T[2, 3] = 0.012
    move(plant, T, 0.0, 0.8)
    assert plant.tcp_force[2] > 20.0


@pytest.mark.parametrize("task", ["grasp_bottle", "pullout_tissue"])
def test_a_snapshot_goes_on_identically_also_in_another_process_s_scene(task):
    plant, other = make(task, seed=4), make(task, seed=9)
    reference = plant.q
    for k in range(60):
        plant.step(reference + 1e-4 * k, 0.2)
    saved = plant.snapshot()
    other.restore(saved)
    for p in (plant, other):
        for k in range(60):
            p.step(reference + 1e-4 * (60 + k), 0.2)
    assert np.array_equal(plant.snapshot(), other.snapshot())
    plant.restore(saved)
    assert np.array_equal(plant.snapshot(), saved)


def test_putting_the_cube_on_the_pad_counts_only_when_it_is_let_go():
    plant = make("place_cube")
    rest = plant.q
    pad = plant.objects()["pad"][:2, 3]
    limit = plant.scene.task.success["distance"]

    def after_a_second(offset, openness):
        plant.reset(4)
        plant.scene.task_scene.set_free_body("cube", [pad[0] + offset, pad[1], 0.0226], 0.2)
        for _ in range(500):
            plant.step(rest, openness)
        return plant.success()

    assert after_a_second(0.0, 1.0) and after_a_second(limit - 0.003, 1.0)
    assert not after_a_second(limit + 0.003, 1.0)
    assert not after_a_second(0.0, 0.2)
