"""The renderer process: draws the cell's cameras at their frame rate and serves them on the frame link."""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import defaultdict

import numpy as np
from prophrl_core.camera import CameraModel
from prophrl_core.cell import CameraSpec, CellSpec, load_cell
from prophrl_core.frame_link import COLOUR, DEPTH, CameraInfoLine, Frame, FrameLinkError, read_line, send_frame
from prophrl_core.task import load_task

from prophrl_sim.frame_state import FrameState

DEPTH_SCALE = 0.001  # m per unit
FRAMES_IN_FLIGHT = 2
CLIENT_TIMEOUT = 5.0


class FrameServer:
    """Accepts cameras on ``host:port`` and hands each the frames of the camera it asked for."""

    def __init__(self, host: str, port: int, cameras: dict[str, CameraInfoLine]):
        self._cameras = cameras
        self._clients: dict[str, list[queue.Queue]] = defaultdict(list)
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, port), backlog=16)
        threading.Thread(target=self._accept, daemon=True).start()

    def publish(self, camera: str, frames: list[Frame]) -> None:
        """Queue the frames of one instant; a client that cannot keep up misses them."""
        with self._lock:
            clients = list(self._clients[camera])
        for client in clients:
            with contextlib.suppress(queue.Full):
                client.put_nowait(frames)

    def watched(self, camera: str) -> bool:
        return bool(self._clients[camera])

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        frames: queue.Queue = queue.Queue(FRAMES_IN_FLIGHT)
        name = None
        with sock, contextlib.suppress(OSError, FrameLinkError):
            sock.settimeout(CLIENT_TIMEOUT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = _requested_camera(read_line(sock))
            if name not in self._cameras:
                known = ", ".join(sorted(self._cameras))
                sock.sendall((json.dumps({"error": f"no camera {name!r} here (there is: {known})"}) + "\n").encode())
                return
            sock.sendall(self._cameras[name].encode())
            with self._lock:
                self._clients[name].append(frames)
            try:
                while True:
                    for frame in frames.get():
                        send_frame(sock, frame)
            finally:
                with self._lock:
                    self._clients[name].remove(frames)


def _requested_camera(line: bytes) -> str:
    try:
        return str(json.loads(line)["camera"])[:100]
    except (ValueError, KeyError, TypeError) as error:
        raise FrameLinkError("expected a line with the camera's name") from error


def camera_info(camera: CameraSpec) -> CameraInfoLine:
    """What the frame server says of a camera of the cell; the serial number tells simulated ones apart."""
    model: CameraModel = camera.model
    return CameraInfoLine(camera.name, f"SIM-{camera.name}", model, camera.fps, camera.depth, DEPTH_SCALE)


def depth_units(metres: np.ndarray) -> np.ndarray:
    """Depth image in metres -> uint16 units; what is farther than the range reads 0, as on the device."""
    units = metres * (1.0 / DEPTH_SCALE)
    return np.where(units < 65535.0, units, 0.0).astype(np.uint16)


class Shutter:
    """Exposure times of one camera: every 1/fps seconds of the monotonic clock."""

    def __init__(self, fps: int, start: float):
        self._period, self._start, self.number = 1.0 / fps, start, 0

    @property
    def due(self) -> float:
        return self._start + self.number * self._period

    def advance(self, now: float) -> None:
        """To the next exposure after ``now``; frames in between are lost, and their numbers too."""
        self.number = max(self.number + 1, math.ceil((now - self._start) / self._period))


class Late:
    """Publishes frames some time after they were drawn, in their order."""

    def __init__(self, server: FrameServer):
        self._server, self._waiting = server, queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def publish(self, camera: str, frames: list[Frame], delay: float) -> None:
        self._waiting.put((time.monotonic() + delay, camera, frames))

    def _run(self) -> None:
        while True:
            due, camera, frames = self._waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            self._server.publish(camera, frames)


def serve(
    cell: CellSpec, task_name: str, host: str, state: FrameState, troubles: FrameState, stop: threading.Event
) -> None:
    """Draw and serve until ``stop``."""
    from prophrl_sim.camera_render import CameraRenderer
    from prophrl_sim.camera_trouble import WIDTH, SensorNoise, Trouble, bumped
    from prophrl_sim.plant import Plant
    from prophrl_sim.scene import build

    plant = Plant(build(cell, load_task(task_name)))
    server = FrameServer(host, cell.simulator.frame_port, {c.name: camera_info(c) for c in cell.cameras})
    late, noise = Late(server), SensorNoise()
    rows = {camera.name: WIDTH * i for i, camera in enumerate(cell.cameras)}
    start = time.monotonic()
    shutters = {camera.name: Shutter(camera.fps, start) for camera in cell.cameras}
    with CameraRenderer(plant.scene) as renderer:
        for camera in cell.cameras:
            renderer.draw(camera)
        print("ready", flush=True)
        while not stop.is_set():
            camera = min(cell.cameras, key=lambda c: shutters[c.name].due)
            shutter = shutters[camera.name]
            stop.wait(max(0.0, shutter.due - time.monotonic()))
            snapshot, taken, stalled_until = state.read()
            if snapshot is not None and taken >= stalled_until and server.watched(camera.name):
                plant.restore(snapshot)
                trouble = Trouble.from_row(troubles.read()[0][rows[camera.name] :][:WIDTH])
                with bumped(plant.model, plant.data, camera.name, trouble.bump):
                    colour, *depth = _expose(renderer, camera, shutter.number, taken)
                colour = dataclasses.replace(colour, pixels=noise.add(colour.pixels, trouble.noise))
                late.publish(camera.name, [colour, *depth], trouble.delay)
            shutter.advance(time.monotonic())
    server.close()


def _expose(renderer, camera: CameraSpec, number: int, taken: float) -> list[Frame]:
    """Colour and depth of the plant's present state; the timestamp is the state's time in ms."""
    colour, depth = renderer.draw(camera)
    frames = [Frame(COLOUR, number, taken * 1e3, colour)]
    if camera.depth:
        frames.append(Frame(DEPTH, number, taken * 1e3, depth_units(depth)))
    return frames


def main() -> None:
    """Entry of the renderer process; started by ``serve``, ends with SIGTERM or when its parent is gone."""
    parser = argparse.ArgumentParser()
    for name in ("cell", "task", "host", "state", "troubles"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    state, troubles = FrameState(int(arguments.state)), FrameState(int(arguments.troubles))
    try:
        serve(load_cell(arguments.cell), arguments.task, arguments.host, state, troubles, stop)
    except (RuntimeError, OSError, ImportError) as error:
        print(f"prophrl: renderer: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    finally:
        state.close()
        troubles.close()


def _end_with_parent(stop: threading.Event) -> None:
    """The parent holds the other end of stdin; its end means the parent is gone."""
    os.read(sys.stdin.fileno(), 1)
    stop.set()


if __name__ == "__main__":
    main()
