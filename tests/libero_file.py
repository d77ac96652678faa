"""Writes small files in the layout of LIBERO's demonstrations (its scripts/create_dataset.py)."""

import json

import h5py
import numpy as np
from prophrl_core import se3

MODEL = """<mujoco><worldbody>
 <camera name="agentview" pos="0 0 1"/>
 <body name="hand"><camera name="robot0_eye_in_hand" pos="0 0 0" fovy="75"/></body>
</worldbody></mujoco>"""


def picture(row, size=64):
    """Bottom row first, as OpenGL reads it: dark ground, a square that moves with the row, bright sky."""
    image = np.full((size, size, 3), 120, np.uint8)
    image[:8], image[-8:] = 5, 250
    image[30:38, (3 * row) % (size - 8) : (3 * row) % (size - 8) + 8] = (240, 60, 20)
    return image


def demonstration(seed, rows=40, gain=0.3):
    """Columns of one demonstration: the arm covers ``gain`` of each commanded step."""
    rng = np.random.default_rng(seed)
    wanted = np.clip(np.cumsum(rng.normal(0, 0.15, (rows, 6)), axis=0), -0.9, 0.9)
    closed = np.where(np.arange(rows) > rows // 2, 1.0, -1.0)
    position, rotation = np.array([0.1, 0.0, 1.1]), np.diag([1.0, -1.0, -1.0])
    positions, rotvecs = [], []
    for step in wanted:
        position = position + gain * 0.05 * step[:3]
        rotation = se3.rotvec_to_matrix(gain * 0.5 * step[3:]) @ rotation
        positions.append(position)
        rotvecs.append(se3.matrix_to_rotvec(rotation))
    fingers = np.where(closed > 0, 0.004, 0.04)
    return {
        "actions": np.concatenate([wanted, closed[:, None]], axis=1),
        "obs/ee_pos": np.array(positions),
        "obs/ee_ori": np.array(rotvecs),
        "obs/gripper_states": np.stack([fingers, -fingers], axis=1),
        "obs/joint_states": np.zeros((rows, 7)),
    }


def write_replayed(path):
    """A demonstration as regenerate_libero_dataset.py writes it: states before actions, pictures turned, no facts."""
    native = demonstration(0)
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = native["actions"][1:]
        for name in ("obs/ee_pos", "obs/ee_ori", "obs/gripper_states", "obs/joint_states"):
            demo[name] = native[name][:-1]
        demo["obs/agentview_rgb"] = np.stack([picture(row)[::-1, ::-1] for row in range(39)])
    return native


def write_libero(path, demos=1, convention="opengl", rows=40, gain=0.3):
    """Write a file of ``demos`` demonstrations; returns their columns."""
    truth = [demonstration(seed, rows, gain) for seed in range(demos)]
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        problem = {
            "domain_name": "robosuite", "problem_name": "libero_kitchen_tabletop_manipulation",
            "language_instruction": ["put", "the", "bowl", "on", "the", "plate"],
        }  # fmt: skip
        data.attrs["env_name"] = "Libero_Kitchen_Tabletop_Manipulation"
        data.attrs["problem_info"] = json.dumps(problem)
        data.attrs["env_args"] = json.dumps({"type": 1, "env_name": data.attrs["env_name"], "env_kwargs": {}})
        data.attrs["bddl_file_name"] = "bddl_files/libero_90/put_the_bowl_on_the_plate.bddl"
        data.attrs["macros_image_convention"] = convention
        data.attrs["num_demos"], data.attrs["total"] = demos, demos * rows
        for i, columns in enumerate(truth):
            demo = data.create_group(f"demo_{i}")
            for name, values in columns.items():
                demo.create_dataset(name, data=values)
            frames = np.stack([picture(row) for row in range(rows)])
            demo.create_dataset("obs/agentview_rgb", data=frames)
            demo.create_dataset("obs/eye_in_hand_rgb", data=frames[:, :, ::-1])
            demo.attrs["num_samples"], demo.attrs["model_file"] = rows, MODEL
    return truth
