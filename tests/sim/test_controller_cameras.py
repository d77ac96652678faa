"""Frames of the simulated cameras on the frame link, and scenes reset through the control port."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from emulated_cell import EmulatedCell
from prophrl_core.cell import load_cell
from prophrl_core.frame_link import COLOUR, DEPTH, FrameLinkError, FrameReceiver
from prophrl_core.task import load_task
from prophrl_sim.camera_render import CameraRenderer
from prophrl_sim.camera_server import depth_units
from prophrl_sim.frame_state import FrameState
from prophrl_sim.plant import Plant
from prophrl_sim.render import Renderer
from prophrl_sim.scene import build


@pytest.fixture
def cell(process, loopback_ip, tmp_path):
    return EmulatedCell(process, loopback_ip, tmp_path, cameras=True)


def frames(receiver: FrameReceiver, stream: int, count: int) -> list:
    got = []
    while len(got) < count:
        frame = receiver.receive()
        if frame.stream == stream:
            got.append(frame)
    return got


def test_frames_flow_show_the_scene_and_stall_on_demand(cell):
    receiver = FrameReceiver(cell.ip, 63400, "front", timeout=10.0)
    assert receiver.info.serial == "SIM-front" and receiver.info.model.width == 640 and receiver.info.depth
    colour = frames(receiver, COLOUR, 10)
    numbers = [frame.number for frame in colour]
    assert numbers == sorted(set(numbers))
    assert colour[0].pixels.shape == (480, 640, 3) and colour[0].pixels.std() > 10
    stamp = frames(receiver, COLOUR, 1)[0].timestamp_ms
    age = time.monotonic() - stamp * 1e-3
    assert 0.0 < age < 2.0
    depth = frames(receiver, DEPTH, 1)[0].pixels * receiver.info.depth_scale
    assert 0.3 < np.median(depth) < 3.0
    cell.control.request("reset", seed=11)
    before = colour[-1].pixels.astype(int)
    time.sleep(0.5)
    after = frames(receiver, COLOUR, 8)[-1].pixels.astype(int)
    assert np.abs(after - before).mean() > 1.0
    cell.fault("camera_stall", seconds=1.5)
    stamps = []
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        receiver.receive()
        stamps.append(time.monotonic())
    receiver.close()
    assert max(np.diff(stamps)) > 1.0


def test_one_pass_draws_what_two_passes_draw():
    cell = load_cell("sim")
    plant = Plant(build(cell, load_task("grasp_bottle")))
    with Renderer(plant.scene) as two_passes:
        wanted = two_passes.colour("front"), two_passes.depth("front")
    with CameraRenderer(plant.scene) as one_pass:
        colour, depth = one_pass.draw(cell.camera("front"))
    assert np.array_equal(colour, wanted[0])
    assert np.allclose(depth, wanted[1], atol=1e-4)
    assert np.abs(depth_units(depth).astype(float) - wanted[1] * 1e3).max() <= 1.1


def test_an_unknown_camera_is_named_in_the_refusal(cell):
    with pytest.raises(FrameLinkError, match=r"no camera 'back' here \(there is: front\)"):
        FrameReceiver(cell.ip, 63400, "back", timeout=10.0)


def test_a_reset_places_the_objects_and_leaves_the_arm(cell):
    cell.run("c, r = control(), receive()\nq = r.getActualQ(); q[0] += 0.1\ndone(moved=c.moveJ(q, 1.0, 4.0))")
    before = cell.state()["q"]
    places = []
    for seed in (3, 4, 3):
        cell.control.request("reset", seed=seed)
        places.append(cell.control.request("status")["objects"]["bottle"])
    assert np.allclose(cell.state()["q"], before, atol=2e-3)
    assert np.allclose(places[0], places[2], atol=2e-3) and not np.allclose(places[0], places[1], atol=1e-3)
    assert cell.control.request("status")["success"] is False
    assert cell.state()["safety_mode"] == "NORMAL"


def test_a_dead_physics_process_takes_its_renderer_along(cell):
    cell.process.signal(9)
    cell.process.wait(5.0)
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        try:
            FrameReceiver(cell.ip, 63400, "front", timeout=1.0).close()
        except OSError:
            return
        time.sleep(0.1)
    raise AssertionError("the renderer outlived the physics process")


def test_state_in_shared_memory_is_never_torn():
    writer = FrameState.create(1000)
    reader = FrameState(os.dup(writer.fd))
    assert reader.read()[0] is None
    for i in range(200):
        writer.write(np.full(1000, float(i)), i * 0.1)
        snapshot, taken, stall = reader.read()
        assert np.all(snapshot == i) and taken == i * 0.1 and stall == 0.0
    with pytest.raises(ValueError, match="expected 1000"):
        writer.write(np.zeros(3), 0.0)
    writer.stall_cameras(5.0)
    assert reader.read()[2] == 5.0
    reader.close()
    writer.close()


_READER = """
import sys, time
import numpy as np
from prophrl_sim.frame_state import FrameState
state, end, reads = FrameState(int(sys.argv[1])), time.monotonic() + 1.0, 0
while time.monotonic() < end:
    snapshot, now, _ = state.read()
    assert snapshot is None or (len(snapshot) == 300 and np.all(snapshot == now)), (len(snapshot), now)
    reads += 1
print(reads)
"""


def test_a_renderer_never_sees_half_a_snapshot():
    writer = FrameState.create(300)
    command = [sys.executable, "-c", _READER, str(writer.fd)]
    with subprocess.Popen(command, pass_fds=[writer.fd], stdout=subprocess.PIPE, text=True) as reader:
        count = 0
        while reader.poll() is None:
            writer.write(np.full(300, float(count)), float(count))
            count += 1
            if count % 50 == 0:
                time.sleep(1e-4)  # a physics loop rests, too
        assert reader.returncode == 0 and int(reader.stdout.read()) > 1000
    writer.close()
