"""The scene is the described cell: its kinematics, masses, cameras; a reset depends on its seed alone."""

import dataclasses

import mujoco
import numpy as np
import pytest
from prophrl_core import se3
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.task import load_task
from prophrl_core.ur_kinematics import UR_MODELS, forward, link_frames
from prophrl_sim import scene as scene_module
from prophrl_sim.appearance import Looks
from prophrl_sim.render import Renderer

CELL = load_cell("sim")
TASKS = ("grasp_bottle", "place_bowl", "place_cube", "pullout_tissue")
PLAIN = Looks(table_top=False, light=0.0, colour=0.0, camera_position=0.0, camera_angle=0.0)
CAMERA = CELL.camera("front")


def build(task="grasp_bottle", model="ur30", looks=PLAIN):
    robot = dataclasses.replace(CELL.robot, model=model)
    return scene_module.build(dataclasses.replace(CELL, robot=robot), load_task(task), looks)


@pytest.mark.parametrize("model", sorted(UR_MODELS))
def test_forward_kinematics_is_that_of_the_robot_description(model):
    scene = build(model=model)
    rng = np.random.default_rng(1)
    low, high = scene.robot.position_limits
    for _ in range(50):
        q = rng.uniform(low, high)
        scene.data.qpos[scene.arm_qpos] = q
        mujoco.mj_kinematics(scene.model, scene.data)
        flange = scene.data.site("flange")
        T = se3.transform(flange.xmat.reshape(3, 3), flange.xpos)
        assert forward(scene.robot, q) == pytest.approx(T, abs=1e-9)
        assert scene.tcp_pose() == pytest.approx(T @ scene.cell.robot.T_tool0_tcp, abs=1e-9)


@pytest.mark.parametrize("model", sorted(UR_MODELS))
def test_masses_and_inertias_are_those_of_the_robot_description(model):
    scene = build(model=model)
    q = np.array([0.3, -1.2, 1.1, -0.4, 0.7, 2.0])
    scene.data.qpos[scene.arm_qpos] = q
    mujoco.mj_kinematics(scene.model, scene.data)
    mujoco.mj_comPos(scene.model, scene.data)
    frames = link_frames(scene.robot, q)
    for i in range(6):
        body = scene.data.body(f"link_{i + 1}")
        xx, yy, zz, xy, xz, yz = scene.robot.inertias[i]
        R = frames[i + 1][:3, :3]
        published = R @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ R.T
        axes = body.ximat.reshape(3, 3)
        built = axes @ np.diag(scene.model.body(f"link_{i + 1}").inertia) @ axes.T
        assert scene.model.body(f"link_{i + 1}").mass[0] == scene.robot.masses[i]
        assert body.xipos == pytest.approx((frames[i + 1] @ [*scene.robot.centres_of_mass[i], 1])[:3], abs=1e-9)
        # MuJoCo wants the triangle inequality of principal moments; the published wrist of some arms is rounded
        assert built == pytest.approx(published, abs=2e-4)


def test_depth_of_the_table_lies_on_the_table():
    scene = build("place_cube")
    scene.reset(3)
    with Renderer(scene) as renderer:
        depth = renderer.depth("front")
    pixels = np.array([[60, 300], [320, 440], [580, 250], [560, 460], [30, 470]])
    points = CAMERA.model.back_project(pixels, depth[pixels[:, 1], pixels[:, 0]])
    in_base = points @ CAMERA.pose[:3, :3].T + CAMERA.pose[:3, 3]
    assert in_base[:, 2] == pytest.approx(np.zeros(len(pixels)), abs=1.5e-3)


@pytest.mark.parametrize("principal", [(0.0, 0.0), (25.0, -14.0)])
def test_a_known_point_is_drawn_where_the_camera_model_projects_it(principal, monkeypatch):
    model = CAMERA.model
    shifted = dataclasses.replace(model, cx=model.cx + principal[0], cy=model.cy + principal[1])
    monkeypatch.setattr(type(CAMERA), "model", property(lambda self: shifted))
    scene = build("place_cube")
    scene.reset(3)
    start = scene.model.joint("cube_free").qposadr[0]
    edge = scene.task.objects["cube"].size[0]
    with Renderer(scene) as renderer:
        for position in ([0.55, -0.15, 0.1], [0.50, 0.18, 0.03], [0.68, 0.05, 0.2]):
            scene.data.qpos[start : start + 7] = [*position, 1, 0, 0, 0]
            mujoco.mj_forward(scene.model, scene.data)
            with_cube = renderer.depth("front").astype(float)
            scene.data.qpos[start + 2] = -5.0
            mujoco.mj_forward(scene.model, scene.data)
            rows, columns = np.nonzero(renderer.depth("front") - with_cube > 0.003)
            corners = np.array(position) + edge / 2 * np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, 8).T
            in_camera = (corners - CAMERA.pose[:3, 3]) @ CAMERA.pose[:3, :3]
            expected, _ = shifted.project(in_camera)
            drawn = [columns.min() - 0.5, columns.max() + 0.5, rows.min() - 0.5]
            bounds = [expected[:, 0].min(), expected[:, 0].max(), expected[:, 1].min()]
            assert drawn == pytest.approx(bounds, abs=1.0)


@pytest.mark.parametrize("task", TASKS)
def test_a_reset_depends_on_its_seed_alone(task):
    first, second = build(task, looks=Looks()), build(task, looks=Looks())
    with Renderer(first) as a, Renderer(second) as b:
        first.reset(11)
        second.reset(5)
        assert not np.array_equal(first.data.qpos, second.data.qpos) or task == "pullout_tissue"
        assert not np.array_equal(a.colour("front"), b.colour("front"))
        second.reset(11)
        assert np.array_equal(first.data.qpos, second.data.qpos)
        assert np.array_equal(first.model.body_pos, second.model.body_pos)
        assert np.array_equal(a.colour("front"), b.colour("front"))


@pytest.mark.parametrize("task", TASKS)
def test_objects_start_where_the_task_says_and_can_be_seen(task):
    scene = build(task, looks=Looks())
    spec = scene.task.objects
    shown = {"grasp_bottle": "bottle", "place_bowl": "bowl", "place_cube": "cube", "pullout_tissue": "box"}[task]
    materials = [m.id for m in (scene.model.material(f"object_{n}") for n in ("main", "second", "third"))]
    with Renderer(scene) as renderer:
        for seed in range(6):
            scene.reset(seed)
            x, y, _ = scene.task_scene.pose(shown)[:3, 3]
            assert spec[shown].x[0] <= x <= spec[shown].x[1] and spec[shown].y[0] <= y <= spec[shown].y[1]
            picture = renderer.colour("front").astype(int)
            scene.model.mat_rgba[materials, 3] = 0.0
            different = np.abs(picture - renderer.colour("front")).max(axis=2)
            scene.model.mat_rgba[materials, 3] = 1.0
            assert (different > 25).sum() > 600, f"seed {seed}: the objects hardly differ from the table"


def test_an_unknown_task_is_refused_in_one_line():
    task = dataclasses.replace(load_task("grasp_bottle"), name="juggle")
    with pytest.raises(UserError, match="juggle.*choose one of grasp_bottle"):
        scene_module.build(CELL, task)
