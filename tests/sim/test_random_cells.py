"""Random cells: a camera that sees where objects may stand, another look for every seed, tasks that can be done."""

import dataclasses

import mujoco
import numpy as np
import pytest
from prophrl_core import action
from prophrl_core.cell import load_cell
from prophrl_core.task import load_task
from prophrl_sim import scene
from prophrl_sim.actors import ACTORS, actions_of
from prophrl_sim.appearance import Looks
from prophrl_sim.env import CellEnv
from prophrl_sim.random_cells import PIXELS, CellRange, random_cell

CELL = load_cell("sim")
TASKS = ("grasp_bottle", "place_cube", "place_bowl", "pullout_tissue")


def pixels_of(built, points_N3):
    """Where MuJoCo's own camera shows points (base frame)."""
    camera, spec = built.data.camera(0), built.cell.cameras[0]
    p = (points_N3 - camera.xpos) @ camera.xmat.reshape(3, 3)  # looks along -z, y up
    assert (p[:, 2] < 0).all()
    return (PIXELS - 1) / 2 + np.stack([-spec.fx * p[:, 0] / p[:, 2], spec.fy * p[:, 1] / p[:, 2]], axis=-1)


@pytest.mark.parametrize("name", TASKS)
def test_every_placement_is_in_the_picture_and_the_expert_succeeds(name):
    task = load_task(name)
    for seed in (3, 4):
        cell, other, looks = random_cell(CELL, task, seed)
        (camera,) = cell.cameras
        assert other.image.crop == (0, 0, PIXELS, PIXELS) == (0, 0, camera.width, camera.height)
        for key, thing in other.objects.items():
            ratio = np.array(thing.size) / task.objects[key].size
            assert (0.8 < ratio).all() and (ratio < 1.2).all() and thing.x == task.objects[key].x
        env = CellEnv(cell, other, images=False, looks=looks)
        for trial in range(8):
            env.reset(seed=trial)
            places = np.stack([T[:3, 3] for T in env.truth().values()])
            lifted = np.concatenate([places, places + [0, 0, 0.15]])
            seen = pixels_of(env.plant.scene, lifted)
            assert (seen > 0).all() and (seen < PIXELS - 1).all(), (seed, trial, seen)
    first = next(iter(task.objects))
    with mujoco.Renderer(env.plant.model, PIXELS, PIXELS) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(env.plant.data, 0)
        shown = renderer.render()
    geoms = np.flatnonzero(env.plant.model.geom_bodyid == env.plant.model.body(first).id)
    pixels = np.argwhere(np.isin(shown[..., 0], geoms) & (shown[..., 1] == mujoco.mjtObj.mjOBJ_GEOM))
    assert len(pixels) > 60, "the object itself is drawn, and about where it should be"
    middle = pixels_of(env.plant.scene, env.truth()[first][None, :3, 3])[0]
    assert np.linalg.norm(pixels[:, ::-1].mean(0) - middle) < 25
    expert = actions_of("expert", env, np.random.default_rng(0))
    while not env.over:
        env.step(next(expert))
    assert env.success
    env.close()


def test_a_seed_is_a_cell():
    task = load_task("grasp_bottle")
    assert random_cell(CELL, task, 5) == random_cell(CELL, task, 5)
    cells = [random_cell(CELL, task, seed) for seed in range(5, 9)]
    for part in (lambda c: c[0].cameras[0].T_base_camera, lambda c: c[0].cameras[0].fx,
                 lambda c: c[1].objects["bottle"].size, lambda c: c[2].repaint, lambda c: c[0].name):  # fmt: skip
        assert len({part(c) for c in cells}) == 4
    on_tool = dataclasses.replace(CELL.cameras[0], T_tool0_camera=(0.0,) * 6, intrinsics=(9.0,) * 9)
    (camera,) = random_cell(dataclasses.replace(CELL, cameras=(on_tool,)), task, 5)[0].cameras
    assert camera.T_tool0_camera is None and camera.measured_model is None, "stands still, with the lens it says"
    plain = CellRange(size=(1.0, 1.0), mass=(2.0, 2.0))
    (bottle,) = random_cell(CELL, task, 5, plain)[1].objects.values()
    assert bottle.mass == pytest.approx(0.4) and bottle.size[0] / 0.0275 == pytest.approx(1.0, abs=0.041)


def looks_of(looks, seed, task=load_task("grasp_bottle")):  # noqa: B008
    built = scene.build(CELL, task, looks)
    built.reset(seed)
    m = built.model
    top = int(m.geom_matid[m.geom("table").id])
    return {"table": (top, m.mat_rgba[top, :3].tolist()), "light": m.light_dir.tolist(),
            "object": m.mat_rgba[m.material("object_main").id].tolist()}  # fmt: skip


def test_a_repainted_cell_has_one_look_of_its_own():
    still = Looks(light=0.0, colour=0.0)
    nominal, same, other = (looks_of(dataclasses.replace(still, repaint=r), 1) for r in (None, None, 4))
    assert nominal == same and all(nominal[key] != other[key] for key in nominal)
    assert looks_of(dataclasses.replace(still, repaint=4), 2) == other, "from trial to trial the same table and colours"
    assert looks_of(dataclasses.replace(still, repaint=5), 1) != other
    varied = [looks_of(Looks(repaint=4), trial) for trial in (1, 2)]
    assert varied[0]["table"] == varied[1]["table"] == other["table"] and varied[0]["object"] != varied[1]["object"]


@pytest.fixture(scope="module")
def env():
    env = CellEnv(CELL, load_task("grasp_bottle"), images=False)
    yield env
    env.close()


def test_touching_is_contact_of_the_gripper_with_something_else(env):
    env.reset(seed=1)
    assert not env.plant.touching(), "the bottle stands on the table, and nobody is there yet"
    closing = np.array([0, 0, 0, 0, 0, 0, 0.0])
    for _ in range(10):
        env.step(closing)
    assert env.plant.gripper_opening < 0.05 and not env.plant.touching(), "fingers on each other do not count"
    while not env.motion.contact_stop:
        env.step(np.array([0, 0, 0.02, 0, 0, 0, 0.0]))
    assert env.plant.touching()


def test_advance_is_watched_step_by_step_until_the_trial_is_over(env):
    env.reset(seed=1)
    seen = []
    chunk = np.zeros((20, 7))
    chunk[:, 2] = -0.01
    env.advance(chunk, steps=6, watch=lambda: seen.append((env.steps, env.motion.time, env.commanded_pose[2, 3])))
    assert [s for s, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([t for _, t, _ in seen], 0.1 * np.arange(1, 7), atol=1e-9)
    np.testing.assert_allclose(np.diff([z for _, _, z in seen]), 0.01, atol=1e-6)
    env.steps = env.task.horizon_steps - 2
    env.advance(chunk, steps=6, watch=lambda: seen.append(None))
    assert seen[6:] == [None, None]


@pytest.mark.parametrize("actor", ACTORS)
def test_an_actor_is_decided_by_its_generator(env, actor):
    def first(seed, steps=40):
        env.reset(seed=2)
        plan, out = actions_of(actor, env, np.random.default_rng(seed)), []
        while len(out) < steps and not env.over:
            out.append(env.permitted(next(plan)[None])[0])
            env.step(out[-1])
        return np.array(out)

    once = first(1)
    assert len(once) > 20 and once.shape[1] == action.ACTION_DIMS
    assert np.array_equal(once, first(1)) and not np.array_equal(once, first(2))


def test_actors_differ_in_how_well_they_aim():
    assert sum(ACTORS.values()) == pytest.approx(1.0)
    env = CellEnv(CELL, load_task("grasp_bottle"), images=False)
    successes = {}
    for actor in ("expert", "wanders"):
        successes[actor] = 0
        for seed in range(3):
            env.reset(seed=seed)
            plan = actions_of(actor, env, np.random.default_rng(seed))
            while not env.over:
                env.step(next(plan))
            successes[actor] += env.success
    assert successes["wanders"] < successes["expert"] == 3
