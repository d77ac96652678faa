"""A scripted operator: collects labelled GraspBottle episodes through the console in a browser, and nothing else.

    ./prophrl teleop grasp_bottle --cell sim &
    python tests/system/browser_operator.py --url http://127.0.0.1:8080/ --trials 5 --seed 0

It holds real keys in a headless Chromium and looks at the simulated cell (its control port) as a person looks at the
arm and the bottle.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from prophrl_sim.control_client import ControlClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from system.browser import Browser, missing

AXES = (("KeyW", "KeyS"), ("KeyA", "KeyD"), ("KeyR", "KeyF"))  # +x -x, +y -y, +z -z
GRASP_Z, TRAVEL_Z, LIFTED_Z = 0.116, 0.26, 0.26  # m, pinch centre in base: on the bottle, above it, with it
OVER_BOTTLE, AT_GRASP = 0.006, 0.005  # m
SPEEDS = ((0.06, 100), (0.02, 45), (0.0, 15))  # slower the nearer: (farther than m, slider)
TRIAL_LIMIT_S, GRIP_S, LOOK_S = 60.0, 3.0, 0.03
STUCK_S, STUCK_M, LET_GO_S = 0.8, 0.001, 0.15  # keys held and no motion: let go of the deadman and press it anew
LAST_LOOK_S = 3.0


@dataclasses.dataclass(frozen=True)
class Trial:
    """One episode: what was clicked, and how long it took (s)."""

    outcome: str
    seconds: float


class BrowserOperator:
    """Drives the page that ``page`` shows; ``control`` is the simulated cell's control port."""

    def __init__(self, page: Browser, control: ControlClient, name: str = "scripted operator"):
        self.page, self.control = page, control
        self._down: set[str] = set()
        self.screenshot = ""  # file of a picture of the page before the gripper closes
        self._speed = 0
        self._moved_s, self._moved_at = time.monotonic(), (0.0, 0.0, 0.0)
        page.enter("operator", name)

    def start_session(self, trials: int, seed: int) -> None:
        """Ask for a session, unless one runs."""
        page = self.page
        self._wait_moving_again(lambda: page.text("mode") == "Ready", 60)
        if page.text("phase") != "No session":
            return
        page.enter("trials", str(trials))
        page.enter("seed", str(seed))
        page.confirm("start-session")

    def trial(self) -> Trial:
        """One trial from the laid-out scene to its label."""
        page = self.page
        self._wait_moving_again(lambda: "lay out the scene" in page.text("phase"), 90)
        time.sleep(1.0)  # the bottle comes to rest
        page.press("scene-ready")
        page.wait(lambda: "recording" in page.text("phase"))
        begun = time.monotonic()
        try:
            self._grasp(begun + TRIAL_LIMIT_S)
        finally:
            self._hold(set())
        deadline = time.monotonic() + LAST_LOOK_S
        while not (success := self._success()) and self._goes_on(deadline):
            time.sleep(LOOK_S)
        seconds = time.monotonic() - begun
        if not self._goes_on():
            return Trial("fault", seconds)
        outcome = "success" if success else "failure"
        page.press(outcome)
        page.wait(lambda: "recording" not in page.text("phase"))
        return Trial(outcome, seconds)

    def _goes_on(self, deadline: float = float("inf")) -> bool:
        """Whether the trial is recorded still; a fault ends it without a label."""
        return time.monotonic() < deadline and "recording" in self.page.text("phase")

    def _wait_moving_again(self, condition, timeout: float) -> None:
        """Wait between trials; an arm that holds gets its word, as from a person who has looked."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self.page.text("mode") == "Holding":
                self.page.confirm("resume")
                time.sleep(1.0)
            if time.monotonic() > deadline:
                self.page.wait(condition, 0.1)
            time.sleep(0.1)

    def _grasp(self, deadline: float) -> None:
        """Over the bottle, down, close, up."""
        near_s = None
        while self._goes_on(deadline):
            x, y, z = self._tcp()
            bx, by, _ = self._bottle()
            aside = max(abs(bx - x), abs(by - y))
            goal_z = GRASP_Z if aside < OVER_BOTTLE or z < TRAVEL_Z - 0.03 and aside < 3 * OVER_BOTTLE else TRAVEL_Z
            there = self._towards((bx - x, by - y, goal_z - z), AT_GRASP)
            near_s = near_s or time.monotonic() if there and goal_z == GRASP_Z else None
            if near_s and time.monotonic() - near_s > 0.2:
                break
            time.sleep(LOOK_S)
        self._hold({"Space"})
        if self.screenshot:
            self.page.screenshot(self.screenshot)
        opened = self.control.request("state")["gripper_opening"]
        while self._goes_on(deadline) and not self._closed_from(opened):
            self._hold(set())
            time.sleep(LET_GO_S)
            self._hold({"Space"})
        while self._goes_on(deadline) and (up := LIFTED_Z - self._tcp()[2]) > AT_GRASP:
            self._towards((0.0, 0.0, up), AT_GRASP)
            time.sleep(LOOK_S)
        self._hold({"Space"})
        while self._goes_on(deadline) and not self._success() and self._bottle()[2] > 0.1:
            time.sleep(LOOK_S)

    def _closed_from(self, opened: float) -> bool:
        """Press the gripper's key and wait for what it does; False when it does nothing."""
        self.page.key("down", "KeyG")
        self.page.key("up", "KeyG")
        begun = time.monotonic()
        while time.monotonic() - begun < GRIP_S:
            state = self.control.request("state")
            if state["object_detected"]:
                time.sleep(0.3)
                return True
            if time.monotonic() - begun > 1.0 and state["gripper_opening"] > 0.9 * opened:
                return False
            time.sleep(LOOK_S)
        return True

    def _towards(self, error: tuple[float, float, float], tolerance: float) -> bool:
        """Hold the keys that shrink ``error`` (m, base); whether there is nothing left to do."""
        wanted = {pair[0] if e > 0 else pair[1] for pair, e in zip(AXES, error, strict=True) if abs(e) > tolerance}
        nearest = min((abs(e) for e in error if abs(e) > tolerance), default=0.0)  # all keys share one speed
        self._set_speed(next(speed for farther, speed in SPEEDS if nearest > farther or farther == 0.0))
        self._press_anew_when_stuck(bool(wanted))
        self._hold({"Space"} | wanted)
        return not wanted

    def _press_anew_when_stuck(self, moving: bool) -> None:
        here, now = self._tcp(), time.monotonic()
        if not moving or max(abs(a - b) for a, b in zip(here, self._moved_at, strict=True)) > STUCK_M:
            self._moved_s, self._moved_at = now, here
        elif now - self._moved_s > STUCK_S:
            self._hold(set())
            time.sleep(LET_GO_S)
            self._moved_s = now

    def _hold(self, codes: set[str]) -> None:
        for code in self._down - codes:
            self.page.key("up", code)
        for code in sorted(codes - self._down, key=lambda code: code != "Space"):
            self.page.key("down", code)
        self._down = codes

    def _set_speed(self, percent: int) -> None:
        if percent != self._speed:
            self._speed = percent
            self.page.script(
                "const s = document.getElementById('jog-speed'); s.value = arguments[0];"
                "s.dispatchEvent(new Event('input', {bubbles: true}))", percent,
            )  # fmt: skip

    def _tcp(self) -> list[float]:
        return [row[3] for row in self.control.request("state")["tcp"][:3]]

    def _bottle(self) -> list[float]:
        return [row[3] for row in self.control.request("status")["objects"]["bottle"][:3]]

    def _success(self) -> bool:
        return self.control.request("status")["success"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080/", help="the console's address, with its token if any")
    parser.add_argument("--robot-ip", default="127.0.0.1", help="address of the simulated cell")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--screenshot", help="PNG of the page in the middle of the work")
    arguments = parser.parse_args()
    if missing():
        parser.exit(2, f"browser_operator: {missing()}\n")
    page = Browser()
    try:
        page.open(arguments.url)
        operator = BrowserOperator(page, ControlClient(arguments.robot_ip))
        operator.screenshot = arguments.screenshot
        operator.start_session(arguments.trials, arguments.seed)
        trials = []
        while sum(trial.outcome != "fault" for trial in trials) < arguments.trials:  # faults are run again
            trials.append(operator.trial())
            print(f"trial {len(trials)}: {trials[-1].outcome} after {trials[-1].seconds:.1f} s", flush=True)
    finally:
        page.close()
    successes = sum(trial.outcome == "success" for trial in trials)
    print(f"{successes} of {len(trials)} succeeded")
    return 0 if successes else 1


if __name__ == "__main__":
    sys.exit(main())
