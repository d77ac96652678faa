"""Every task can be done, by its expert, on scenes drawn at random; the command reports it."""

import json

import numpy as np
import pytest
from prophrl_bringup.cli import dispatch
from prophrl_core.cell import load_cell
from prophrl_core.errors import UserError
from prophrl_core.task import load_task
from prophrl_sim.env import CellEnv
from prophrl_sim.experts import expert_for
from prophrl_sim.imperfection import Imperfections

CELL = load_cell("sim")
SCENES = {"grasp_bottle": 3, "place_cube": 3, "place_bowl": 3, "pullout_tissue": 1}


@pytest.mark.parametrize("task", SCENES)
def test_the_expert_solves_its_task_within_the_envelope(task):
    spec = load_task(task)
    env = CellEnv(CELL, spec, images=False)
    low, high = CELL.envelope.workspace_min, CELL.envelope.workspace_max
    for seed in range(500, 500 + SCENES[task]):
        env.reset(seed=seed)
        expert = expert_for(spec)(env, np.random.default_rng(seed), Imperfections())
        while not env.over:
            a = next(expert)
            assert np.linalg.norm(a[:3]) <= 0.1 * CELL.envelope.tcp_speed
            env.step(a)
            position = env.commanded_pose[:3, 3]
            assert np.all(position >= low) and np.all(position <= high)
        assert env.success and not env.motion.contact_stop, f"seed {seed}"
        assert env.motion.unreachable == 0
        assert env.steps > 2 * spec.execute_steps, "too short for a second look"


def test_the_command_writes_figures_and_videos(tmp_path, capsys):
    out = tmp_path / "figures.json"
    words = ["sim", "expert", "--n", "2", "--seed", "40", "--processes", "1", "--json", str(out)]
    assert dispatch([*words, "--video", str(tmp_path / "videos"), "--videos", "1"]) == 0
    (figure,) = json.loads(out.read_text())["figures"]
    assert figure["name"] == "sim.expert.grasp_bottle.success" and figure["n"] == 2 and figure["seed"] == 40
    assert figure["low"] < figure["value"] <= figure["high"]
    assert "2/2 trials" in capsys.readouterr().out
    import av

    with av.open(str(tmp_path / "videos" / "grasp_bottle-40.mp4")) as video:
        frames = [f.to_ndarray(format="rgb24") for f in video.decode(video=0)]
    assert len(frames) > 30 and frames[0].shape == (480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1.0


def test_the_command_refuses_no_trials():
    with pytest.raises(UserError, match="at least one trial, got 0"):
        dispatch(["sim", "expert", "--n", "0"])
