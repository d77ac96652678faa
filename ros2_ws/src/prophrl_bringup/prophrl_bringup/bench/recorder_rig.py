"""A numbered load and real recorders beside it, in processes of their own; used by the bench and by tests."""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import rclpy
import yaml
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError
from prophrl_core.nodes.qos import EVENTS
from prophrl_core.stamps import nanoseconds_of
from prophrl_interfaces.msg import EpisodeEvent, RecorderStatus
from rclpy.executors import SingleThreadedExecutor

from prophrl_bringup import environment
from prophrl_bringup.bench.recording_check import sent_times
from prophrl_bringup.bench.recording_load import RATES
from prophrl_bringup.nodes.arm_client import TASK
from prophrl_bringup.program import Program, Programs

CAMERAS = ("left", "right")
PARTS = (*CAMERAS, "arm")
WARM_UP = "warm-up"  # the episode that shows that a fresh recorder hears everything
LIMIT_S = 60.0


def write_cell(path: Path, **recorder) -> Path:
    """The simulated cell's description with two cameras; ``recorder`` replaces fields of its section."""
    description = yaml.safe_load(find_config("cells", "sim").read_text(encoding="utf-8"))
    description["cameras"] = [description["cameras"][0] | {"name": name} for name in CAMERAS]
    description["recorder"] = {"min_free_bytes": 0} | recorder
    path.write_text(yaml.safe_dump(description))
    return path


class RecorderRig:
    """Context manager: the load plays from entry to ``stop_load``; the caller plays the session."""

    def __init__(self, folder: Path, domain: int, size: tuple[int, int] = (640, 480), **recorder):
        self.folder, self.domain = folder, domain
        self.cell_file = write_cell(folder / "cell.yaml", **recorder)
        self._size = size
        self.variables = dict(os.environ) | environment.unset_defaults() | {"ROS_DOMAIN_ID": str(domain)}
        self._load: list[Program] = []
        self._programs = Programs(folder, self.variables)
        self._recorders = 0

    def __enter__(self) -> "RecorderRig":
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=self.domain)
        self._node = rclpy.create_node("session", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._events = self._node.create_publisher(EpisodeEvent, "episode/event", EVENTS)
        self.status: RecorderStatus | None = None
        self._node.create_subscription(RecorderStatus, "recorder/status", self._heard, EVENTS)
        width, height = map(str, self._size)
        for part in PARTS:
            words = ("--cell", self.cell_file, "--part", part, "--width", width, "--height", height)
            sent = self.folder / f"sent-{part}.json"
            self._load.append(self.start_program("prophrl_bringup.bench.recording_load", *words, "--sent", sent))
        return self

    def __exit__(self, *exc) -> None:
        self._programs.stop()
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _heard(self, status: RecorderStatus) -> None:
        self.status = status

    def start_program(self, module: str, *words) -> Program:
        """Start ``python -m module`` beside the load; it is stopped at the end."""
        return self._programs.start(module, *words)

    def start_recorder(self, episodes: Path | None = None) -> tuple[Program, Path]:
        """A fresh recorder_node that hears the session and all of the load, and the folder that it records to."""
        episodes = episodes or self.folder / f"episodes-{self._recorders}"
        self._recorders += 1
        launched_ns = self.now_ns()
        words = ("-p", f"cell_file:={self.cell_file}", "-p", f"episodes_dir:={episodes}")
        program = self.start_program("prophrl_cell.nodes.recorder_node", "--ros-args", *words)
        self.until(lambda: self._heard_since(launched_ns), program)  # not a word that the last one left behind
        self.event(EpisodeEvent.STARTED, WARM_UP)
        self.until(self._hears_all, program)
        self.event(EpisodeEvent.STOPPED, WARM_UP, outcome="aborted")
        self.until(lambda: not self.status.episode_id and self.status.path.endswith(WARM_UP), program)
        shutil.rmtree(episodes / WARM_UP)
        return program, episodes

    def _heard_since(self, launched_ns: int) -> bool:
        stamp = self.status.header.stamp if self.status is not None else None
        return stamp is not None and nanoseconds_of(stamp) > launched_ns

    def _hears_all(self) -> bool:
        expected = len(RATES) + 2 * len(CAMERAS)  # a camera's picture and camera_info
        return sum(stream.messages > 0 for stream in self.status.streams) >= expected

    def spin(self, seconds: float) -> None:
        """Let time pass while statuses are heard."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def now_ns(self) -> int:
        """Wall clock, as the load stamps its messages."""
        return self._node.get_clock().now().nanoseconds

    def until(self, condition, program: Program) -> None:
        """Wait for a condition on ``status``; UserError when ``program`` ends or it takes too long."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            self._executor.spin_once(timeout_sec=0.05)
            if program.popen.poll() is not None or time.monotonic() > end:
                raise UserError(f"bench recording: the recorder did not get on ({self._heard_of(program)})")

    def _heard_of(self, program: Program) -> str:
        """One line on a recorder that does not do what it should."""
        said = " ".join(program.output()[-300:].split()) or "nothing"
        if self.status is None:
            return f"exit status {program.popen.poll()}, no recorder/status, it printed {said}"
        silent = [stream.topic for stream in self.status.streams if not stream.messages]
        known = f"episode {self.status.episode_id!r}, path {self.status.path!r}, {self.status.reason or 'no fault'}"
        return f"exit status {program.popen.poll()}, {known}, silent: {', '.join(silent) or 'none'}; it printed {said}"

    def event(self, kind: int, episode: str, **fields) -> int:
        """Announce the start or the end of an episode; its stamp, ns."""
        event = EpisodeEvent(event=kind, episode_id=episode, task=TASK, **fields)
        now = self._node.get_clock().now()
        event.header.stamp = now.to_msg()
        self._events.publish(event)
        return now.nanoseconds

    def stop_load(self) -> dict:
        """End the load; when each message was sent, by topic and number (ns)."""
        for program in self._load:
            with contextlib.suppress(ProcessLookupError):
                program.popen.send_signal(signal.SIGINT)
        for program in self._load:
            program.stop()
        files = [self.folder / f"sent-{part}.json" for part in PARTS]
        for file, program in zip(files, self._load, strict=True):
            if not file.exists():
                raise UserError(f"bench recording: expected {file.name}, found none: {program.output()[-400:]}")
        return sent_times(files)
