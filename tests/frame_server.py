"""A frame server for tests: numbered frames on loopback at an exact rate; losses, pauses and hang-ups on demand."""

import contextlib
import socket
import threading
import time

import numpy as np
from prophrl_core import frame_link
from prophrl_core.camera import CameraModel

MODEL = CameraModel(320, 240, 300.0, 301.0, 160.5, 119.5, (0.01, -0.02, 0.001, 0.002, 0.0))


class FrameServer:
    """Frame n has colour ``n % 256`` everywhere and is n + 1000 mm deep; numbers in ``skip`` are never sent."""

    def __init__(self, depth: bool = True, rate: int = 60, model: CameraModel = MODEL):
        self.depth, self.rate, self.model = depth, rate, model
        self.paused, self.skip, self.connections = threading.Event(), set(), 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection):
        try:
            frame_link.read_line(connection)
            info = frame_link.CameraInfoLine("front", "SIM1", self.model, self.rate, self.depth)
            connection.sendall(info.encode())
            self._play(connection)
        except (OSError, frame_link.FrameLinkError):
            return

    def _play(self, connection):
        started, shape = time.monotonic(), (self.model.height, self.model.width)
        number = 0
        while not self._stop.is_set():
            number += 1
            time.sleep(max(0.0, started + number / self.rate - time.monotonic()))
            if self.paused.is_set() or number in self.skip:
                continue
            stamp_ms = 5e6 + number * 1e3 / self.rate
            if self.depth:
                depth = np.full(shape, number + 1000, np.uint16)
                frame_link.send_frame(connection, frame_link.Frame(frame_link.DEPTH, number, stamp_ms, depth))
            colour = np.full((*shape, 3), number % 256, np.uint8)
            frame_link.send_frame(connection, frame_link.Frame(frame_link.COLOUR, number, stamp_ms, colour))

    def hang_up(self):
        """Close every connection; new ones are served."""
        connections, self._open = self._open, []
        for connection in connections:
            with contextlib.suppress(OSError):  # the camera may have hung up first
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self):
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
        self.hang_up()
