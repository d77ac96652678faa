"""The same servoJ targets over the wire and in process give the same joint path."""

import time

import numpy as np
from emulated_cell import EmulatedCell
from prophrl_core.cell import load_cell
from prophrl_core.task import load_task
from prophrl_sim.plant import Plant
from prophrl_sim.scene import build
from prophrl_sim.servo import ServoConfig, ServoJ

PERIOD, TICKS = 0.008, 4
LOOKAHEAD, GAIN = 0.05, 600.0
# On the wire a target waits up to one servo period for the script's servo thread, and packages jitter with
# the machine; at the path's largest joint speed (0.5 rad/s) 20 ms of that is 0.01 rad.
PATH_TOLERANCE = 0.01
FINAL_TOLERANCE = 0.001


def targets(q: np.ndarray) -> np.ndarray:
    """A smooth path (n, 6) from rest to rest, 2 s at 125 Hz, followed by 0.5 s of standing still."""
    t = np.arange(0.0, 2.0, PERIOD)
    s = (1 - np.cos(np.pi * t / 2.0)) / 2
    way = q + np.outer(s, [0.3, -0.15, 0.2, 0.1, 0.05, -0.3])
    return np.concatenate([way, np.repeat(way[-1:], 60, axis=0)])


def test_wire_and_process_agree(process, loopback_ip, tmp_path):
    wire = EmulatedCell(process, loopback_ip, tmp_path)
    cell = load_cell(wire.file)
    plant = Plant(build(cell, load_task("grasp_bottle")))
    path = targets(plant.q)
    client = wire.client(
        f"""
import gc
path = {path.tolist()!r}
c = control()
gc.disable()
print("START", flush=True)
due = time.monotonic()
for q in path:
    c.servoJ(q, 0, 0, {PERIOD}, {LOOKAHEAD}, {GAIN})
    due += {PERIOD}
    time.sleep(max(0.0, due - time.monotonic()))
done(ok=True)
"""
    )
    client.wait_for("^START")
    wire.result(client)
    time.sleep(0.1)
    trace = wire.control.request("trace", seconds=20.0)
    commands = [row for row in trace["commands"] if row[2] == 11]
    started = commands[0][1]
    there = np.array([row[3] for row in trace["motion"] if row[1] >= started])[: len(path) * TICKS]

    servo = ServoJ(np.array(cell.robot.kinematics.max_speed), plant.period, ServoConfig(LOOKAHEAD, GAIN))
    servo.reset(plant.q)
    here = []
    for target in path:
        for _ in range(TICKS):
            plant.step(servo.step(target), 1.0)
            here.append(plant.q)
    here = np.array(here)[: len(there)]
    assert len(there) > 0.9 * len(path) * TICKS
    assert np.allclose([row[3] for row in commands[:: max(1, len(commands) // 20)]][0], path[0], atol=1e-9)
    off = np.abs(there - here)
    assert np.max(off[-50:]) < FINAL_TOLERANCE
    assert np.percentile(off, 99) < PATH_TOLERANCE
