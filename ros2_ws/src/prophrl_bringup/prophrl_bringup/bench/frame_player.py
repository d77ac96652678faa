"""A frame server that plays pre-rendered noise at an exact rate and writes into each picture when it was sent.

``python -m prophrl_bringup.bench.frame_player --ready-file F``

The first 16 bytes of a picture are its number and the monotonic time (ns) at which it was handed to the wire, as two
little-endian 64-bit integers; ``read_mark`` reads them.
"""

import argparse
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
from prophrl_core import frame_link
from prophrl_core.camera import CameraModel

WIDTH, HEIGHT, RATE = 640, 480, 30
POOL = 8  # different pictures, so that nothing on the way can cache one
MODEL = CameraModel(WIDTH, HEIGHT, 615.0, 615.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)


def write_mark(pixels: np.ndarray, number: int, sent_ns: int) -> None:
    """Mark a contiguous picture in place."""
    pixels.reshape(-1).view(np.uint8)[:16].view("<i8")[:] = (number, sent_ns)


def read_mark(pixels: np.ndarray) -> tuple[int, int]:
    """(number, sent ns) of a marked picture."""
    number, sent_ns = np.frombuffer(pixels.reshape(-1).view(np.uint8)[:16], "<i8")
    return int(number), int(sent_ns)


def pictures(seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noisy gradients: colour (H, W, 3) uint8 and depth (H, W) uint16 mm."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramp = np.stack([x * 200 // WIDTH, y * 200 // HEIGHT, (x + y) * 200 // (WIDTH + HEIGHT)], -1)
    colours = [(ramp + rng.integers(0, 55, ramp.shape)).astype(np.uint8) for _ in range(POOL)]
    depths = [(900 + y + rng.integers(0, 9, y.shape)).astype(np.uint16) for _ in range(POOL)]
    return colours, depths


def play(connection: socket.socket, seed: int, stop: threading.Event) -> None:
    """Serve one camera until it hangs up."""
    name = frame_link.read_line(connection)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    connection.sendall(frame_link.CameraInfoLine("bench", str(abs(hash(name)) % 10**6), MODEL, RATE, True).encode())
    colours, depths = pictures(seed)
    due, number = time.monotonic(), 0
    while not stop.is_set():
        number, due = number + 1, due + 1.0 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        colour, depth = colours[number % POOL], depths[number % POOL]
        sent_ns = time.monotonic_ns()
        for stream, pixels in ((frame_link.DEPTH, depth), (frame_link.COLOUR, colour)):
            write_mark(pixels, number, sent_ns)
            try:
                frame_link.send_frame(connection, frame_link.Frame(stream, number, sent_ns * 1e-6, pixels))
            except OSError:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ready-file", type=Path, required=True, help="receives the port once it listens")
    arguments = parser.parse_args()
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: (stop.set(), listener.close()))
    partial = arguments.ready_file.with_suffix(".partial")
    partial.write_text(str(listener.getsockname()[1]))
    partial.replace(arguments.ready_file)
    seed = arguments.seed
    while not stop.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            break
        threading.Thread(target=play, args=(connection, seed, stop), daemon=True).start()
        seed += 1


if __name__ == "__main__":
    main()
