import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_core import frame_link as link
from prophrl_core.camera import CameraModel

INFO = link.CameraInfoLine("front", "123", CameraModel(8, 6, 5.0, 5.0, 3.5, 2.5), 30, True)


def serve(answer):
    """A one-connection server on a free port; ``answer(connection)`` runs after the request line."""
    server = socket.create_server(("127.0.0.1", 0))

    def run():
        connection, _ = server.accept()
        with connection, server:
            link.read_line(connection)
            answer(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return server.getsockname()[1], thread


def test_frames_arrive_as_sent():
    rng = np.random.default_rng(0)
    sent = [
        link.Frame(link.COLOUR, 1, 10.5, rng.integers(0, 255, (6, 8, 3), np.uint8)),
        link.Frame(link.DEPTH, 1, 10.5, rng.integers(0, 9000, (6, 8), np.uint16)),
    ]

    def answer(connection):
        connection.sendall(INFO.encode())
        for frame in sent:
            link.send_frame(connection, frame)

    port, thread = serve(answer)
    receiver = link.FrameReceiver("127.0.0.1", port, "front")
    assert receiver.info == INFO
    for frame in sent:
        got = receiver.receive()
        assert (got.stream, got.number, got.timestamp_ms) == (frame.stream, frame.number, frame.timestamp_ms)
        np.testing.assert_array_equal(got.pixels, frame.pixels)
    with pytest.raises(link.FrameLinkError, match="closed"):
        receiver.receive()
    receiver.close()
    thread.join(2)


def test_a_frame_of_another_size_ends_the_link():
    def answer(connection):
        connection.sendall(INFO.encode())
        link.send_frame(connection, link.Frame(link.COLOUR, 1, 0.0, np.zeros((60, 80, 3), np.uint8)))

    port, thread = serve(answer)
    receiver = link.FrameReceiver("127.0.0.1", port, "front")
    with pytest.raises(link.FrameLinkError, match="expected a frame of"):
        receiver.receive()
    receiver.close()
    thread.join(2)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_descriptions_raise_only_link_errors(line):
    with pytest.raises(link.FrameLinkError):
        link.CameraInfoLine.decode(line)


def test_an_unknown_camera_is_named_by_the_server():
    port, thread = serve(lambda connection: connection.sendall(b'{"error": "no camera back"}\n'))
    with pytest.raises(link.FrameLinkError, match="no camera back"):
        link.FrameReceiver("127.0.0.1", port, "back")
    thread.join(2)
