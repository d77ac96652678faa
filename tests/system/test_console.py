"""The operator console in a real browser: what it shows, what its buttons and keys do, what it does when it is lost."""

import hashlib
import json
import math
import os
import signal
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
from cell.test_console_shelves import FIRST, record_episode
from prophrl_cell.console.jog import REARM_S
from prophrl_interfaces.msg import ArmStatus, EnvelopeEvent, EpisodeCommand
from system import browser as chromium
from system.fake_cell import FakeCell
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing())
STOP_LIMIT_S = 0.1
SILENT = ("server stalled", "browser frozen", "browser killed")  # losses in which the page says nothing any more


def start_console(process, folder, *parameters):
    """A console_node and the address that it printed."""
    command = [sys.executable, "-m", "prophrl_cell.nodes.console_node", "--ros-args", "-p", "cell_file:=sim"]
    values = ("task_file:=grasp_bottle", f"episodes_dir:={folder}/episodes", f"bundles_dir:={folder}/bundles")
    pairs = (word for value in (*values, *parameters) for word in ("-p", value))
    console = process([*command, *pairs], name="console")
    return console, console.wait_for(r"console: (\S+)")[1]


def write_bundle(folder, name):
    """What the console needs of a bundle: a manifest with a name; its version."""
    folder.mkdir(parents=True)
    text = json.dumps({"name": name})
    (folder / "manifest.json").write_text(text)
    return f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@pytest.fixture
def cell(ros_domain):
    cell = FakeCell()
    yield cell
    cell.close()


@pytest.fixture
def page():
    page = chromium.Browser()
    yield page
    page.close()


@pytest.fixture
def console(cell, page, process, tmp_path):
    """A console with one recorded episode and two bundles, shown in the browser; (process, address)."""
    (tmp_path / "episodes").mkdir()
    record_episode(tmp_path / "episodes", FIRST)
    cell.policy_version = write_bundle(tmp_path / "bundles" / "grasp_bottle" / "sft", "grasp_sft")
    write_bundle(tmp_path / "bundles" / "grasp_bottle" / "tuned", "grasp_tuned")
    console, address = start_console(process, tmp_path, "port:=0")
    page.open(address)
    return console, address


def held_jogs(cell, since):
    return [command for received, command in cell.jogs if received >= since and command.deadman]


def moving(command):
    """What a command's twist asks: {(linear or angular, axis): value} of what is not zero."""
    parts = [(kind, axis) for kind in ("linear", "angular") for axis in "xyz"]
    values = {(kind, axis): getattr(getattr(command.twist, kind), axis) for kind, axis in parts}
    return {part: value for part, value in values.items() if value}


def last_motion(cell):
    """When the last command with a held deadman came."""
    return max((received for received, command in cell.jogs if command.deadman), default=-math.inf)


def hold_and_move(page, cell, code="KeyW"):
    """Hold the space bar and a key until the arm is asked to move."""
    began = time.monotonic()
    page.wait(lambda: any(not c.deadman for _, c in cell.jogs))  # a page is open: released, ten times a second
    page.key("down", "Space")
    page.key("down", code)
    page.wait(lambda: any(c.twist.linear.x for c in held_jogs(cell, began)))
    time.sleep(0.2)


def test_what_the_cell_says_is_shown_and_what_the_operator_says_is_heard(cell, page, console, process, tmp_path):
    page.wait(lambda: page.text("mode") == "Ready")
    assert page.text("control") == "nobody" and page.text("speed") == "80 %"
    page.wait(lambda: "30 Hz, 11 ms, 2 dropped" in page.text("camera-front"))
    page.wait(lambda: "/" not in page.text("disk") and page.text("disk") == "123 GB")
    assert "1 with trouble" in page.text("streams") and page.text("devices") == "idle; connected: console; not: spacemouse"
    marks = "return [...document.querySelectorAll('[data-see=stream-table] .warn-text')].map(e => e.textContent)"
    marked = page.script(marks)
    assert marked == ["0.60", "4"]
    pictures = set()
    shown = "return document.querySelector('img[data-camera]').src"
    page.wait(lambda: pictures.add(page.script(shown)) or len(pictures) > 3)
    assert page.script("return document.querySelector('img[data-camera]').naturalWidth") == 640

    cell.mode, cell.reason = ArmStatus.MODE_PROTECTIVE_STOP, "collision; clear it and unlock"
    for limit in ("workspace", "workspace", "<script>"):
        cell.envelope.publish(EnvelopeEvent(limit=limit, detail="0.86 m, at most 0.85 m"))
    page.wait(lambda: page.text("mode") == "Protective stop")
    assert page.text("reason") == "collision; clear it and unlock"
    page.wait(lambda: "workspace × 2" in page.text("envelope") and "<script>" in page.text("envelope"))

    page.press("hold")
    page.wait(lambda: cell.asked == ["arm/hold"])
    for word in ("resume", "unlock", "home"):
        page.confirm(word)
        page.wait(lambda word=word: cell.asked[-1] == f"arm/{word}")
    page.press("home")
    page.wait(lambda: page.script("return !!document.querySelector('.q-dialog [data-do=confirm]')"))
    page.press("hold")  # in reach above a dialog
    page.wait(lambda: cell.asked[-1] == "arm/hold")
    page.press("cancel")
    page.wait(lambda: "an unlock is already under way" in page.script("return document.body.innerText"))

    assert page.text("policy-version").startswith("grasp_sft@")
    page.find("[data-enter=bundle]").click()
    page.wait(lambda: page.script("return document.querySelectorAll('.q-menu .q-item').length") == 2)
    time.sleep(0.3)
    page.script("[...document.querySelectorAll('.q-menu .q-item')].find(e => e.textContent.includes('tuned')).click()")
    time.sleep(0.3)
    page.press("load-policy")
    page.wait(lambda: cell.asked[-1].endswith("grasp_bottle/tuned"))
    page.wait(lambda: page.text("policy-version") == "tuned@loaded")
    page.wait(lambda: not page.find("[data-do=roll-back]").get_attribute("disabled"))
    page.press("roll-back")
    page.wait(lambda: cell.asked[-1].endswith("grasp_bottle/sft"))

    origins = page.script("return performance.getEntriesByType('resource').map(e => new URL(e.name).host)")
    assert set(origins) <= {page.script("return location.host"), ""}, "nothing is loaded from elsewhere"
    page.press("hold")
    time.sleep(0.2)
    assert not page.complaints()


def start_is_taken(page):
    page.confirm("start-session")
    time.sleep(0.5)
    return page.text("phase") != "No session"


def test_a_session_is_run_and_its_episodes_are_looked_at(cell, page, console, process):
    command = [sys.executable, "-m", "prophrl_cell.nodes.session_node", "--ros-args", "-p", "cell_file:=sim"]
    session = process([*command, "-p", "task_file:=grasp_bottle"], name="session")
    page.enter("operator", "ada")
    page.enter("trials", "2")
    page.wait(lambda: start_is_taken(page))  # the session node may be a moment away still
    page.wait(lambda: page.text("phase").startswith("Trial 1 of 2: lay out the scene"))
    page.press("scene-ready")
    page.wait(lambda: page.text("phase").startswith("Trial 1 of 2: recording"))
    assert page.find("[data-do=load-policy]").get_attribute("disabled"), "no policy is swapped in an episode"
    page.find("[data-enter=reason]").send_keys("slipped")
    page.press("discard")
    session.wait_for(r"trial 0: discarded after .* \(slipped\)")
    page.wait(lambda: "lay out the scene" in page.text("phase"), 20)
    page.press("scene-ready")
    page.wait(lambda: "recording" in page.text("phase"))
    page.press("success")
    session.wait_for(r"trial 1: success after")
    page.wait(lambda: "1 discarded, 1 success" in page.text("tally"))
    page.confirm("cancel-session")
    page.wait(lambda: page.text("phase") == "No session")
    assert not [w for w in cell.words if w.command != EpisodeCommand.STOP]

    page.wait(lambda: page.script("return document.querySelector('[data-episode] img')?.naturalWidth") == 160)
    row = page.find(f'[data-episode="{FIRST}"]').text
    assert "success" in row and "ada" in row and "0.5 s" in row
    page.find(f'[data-play="{FIRST}"]').click()
    page.wait(lambda: page.script("return document.querySelector('#player video').videoWidth") == 160)
    page.wait(lambda: page.script("return document.querySelector('#player video').ended"))
    page.find("#player-close").click()
    assert not page.complaints()


def test_keys_and_pads_move_the_right_axes_only_while_the_deadman_is_held(cell, page, console):
    began = time.monotonic()
    page.wait(lambda: any(not c.deadman for _, c in cell.jogs))
    page.key("down", "KeyW")
    time.sleep(0.3)
    assert not held_jogs(cell, began), "a key without the deadman moves nothing"
    page.key("up", "KeyW")
    page.key("down", "Space")
    keys = {
        "KeyW": ("linear", "x", 1), "KeyS": ("linear", "x", -1), "KeyA": ("linear", "y", 1),
        "KeyD": ("linear", "y", -1), "KeyR": ("linear", "z", 1), "KeyF": ("linear", "z", -1),
        "KeyL": ("angular", "x", 1), "KeyI": ("angular", "y", 1), "KeyQ": ("angular", "z", 1),
        "KeyE": ("angular", "z", -1),
    }  # fmt: skip
    for code, (kind, axis, sign) in keys.items():
        pressed = time.monotonic()
        page.key("down", code)
        full = 0.15 if kind == "linear" else 0.6
        page.wait(lambda: any(getattr(getattr(c.twist, kind), axis) for c in held_jogs(cell, pressed)))
        command = held_jogs(cell, pressed)[-1]
        assert moving(command) == {(kind, axis): pytest.approx(sign * 0.4 * full)}
        assert command.frame == command.FRAME_BASE
        assert command.device == "console" and math.isnan(command.openness)
        page.key("up", code)
        page.wait(lambda: not moving(cell.jogs[-1][1]))
    page.key("down", "KeyG")
    page.key("up", "KeyG")
    page.wait(lambda: cell.jogs[-1][1].openness == 0.0)
    rate = sum(received > time.monotonic() - 0.5 for received, _ in cell.jogs) / 0.5
    assert rate > 30.0
    page.key("up", "Space")
    page.wait(lambda: not cell.jogs[-1][1].deadman)

    page.find("[data-frame=tool]").click()
    box = page.find("#deadman").rect
    x, y = box["x"] + 20, box["y"] + 20
    pressed = time.monotonic()
    page.mouse("mouseMoved", x, y)
    page.mouse("mousePressed", x, y)
    page.key("down", "KeyR")
    page.wait(lambda: any(c.twist.linear.z > 0 and c.frame == c.FRAME_TOOL for c in held_jogs(cell, pressed)))
    page.mouse("mouseMoved", x, y - 200)  # the pointer leaves the button
    page.wait(lambda: not cell.jogs[-1][1].deadman)
    page.mouse("mouseReleased", x, y - 200)
    page.key("up", "KeyR")
    assert not page.complaints()


@pytest.mark.parametrize("redraw", ["b.replaceWith(b.cloneNode(true))", "b.remove()"])
def test_a_deadman_that_is_drawn_anew_while_held_is_let_go_with_the_pointer(cell, page, console, redraw):
    began = time.monotonic()
    page.wait(lambda: any(not c.deadman for _, c in cell.jogs))  # a press counts once the page was seen released
    box = page.find("#deadman").rect
    x, y = box["x"] + 20, box["y"] + 20
    page.mouse("mouseMoved", x, y)
    page.mouse("mousePressed", x, y)
    page.wait(lambda: held_jogs(cell, began))
    page.script(f"const b = document.getElementById('deadman'); {redraw}")
    page.mouse("mouseReleased", x, y)
    page.wait(lambda: not cell.jogs[-1][1].deadman)


def test_two_operators_do_not_jog_at_once(cell, page, console):
    page.enter("operator", "ada")
    hold_and_move(page, cell)
    began = time.monotonic()
    with connect(console[1].replace("http", "ws") + "jog") as other:
        for number in range(30):
            beat = {"t": 1000 * time.monotonic(), "deadman": number > 2, "axes": [0, 0, 1, 0, 0, 0], "speed": 1}
            other.send(json.dumps(beat | {"toggles": 0, "echo": True}))
            answer = json.loads(other.recv())
            time.sleep(0.01)
        assert answer["holder"] == "ada" and not answer["you"]
        assert held_jogs(cell, began) and not any(c.twist.linear.z for c in held_jogs(cell, began))
        page.key("up", "KeyW")
        page.key("up", "Space")
        other.send("[1]")  # no heartbeat: shown the door
        with pytest.raises(ConnectionClosed):
            while True:
                other.recv(timeout=5)


def test_loss_of_the_page_stops_the_jog(cell, page, console, record_property):
    """Each way to lose the operator, the browser's death last; in ms from the loss to the last command that moved."""
    processes = psutil.Process(page.driver.service.process.pid).children(recursive=True)

    def each(members, action):
        for member in members:
            getattr(member, action)()

    losses = {
        "blur": lambda: page.script("window.dispatchEvent(new Event('blur'))"),
        "hidden": lambda: page.script(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange')); delete document.hidden"
        ),
        "server stalled": lambda: os.kill(console[0].pid, signal.SIGSTOP),
        "browser frozen": lambda: each(processes, "suspend"),
        "page left": lambda: page.driver.get("about:blank"),
        "browser killed": lambda: each(processes, "kill"),
    }
    found = {}
    for name, lose in losses.items():
        hold_and_move(page, cell)
        lost = time.monotonic()
        lose()
        time.sleep(REARM_S + 0.15)  # so long that a page which comes back has to let go once
        if name == "server stalled":
            os.kill(console[0].pid, signal.SIGCONT)
        elif name == "browser frozen":
            each(processes, "resume")
        time.sleep(0.1)
        found[name] = last_motion(cell) - lost
        assert cell.jogs[-1][1].deadman is (name in SILENT), "a release is said, and silence is none"
        if name == "page left":
            page.open(console[1])
        elif name != "browser killed":
            page.key("up", "KeyW")
            page.key("up", "Space")
            time.sleep(0.7)
    record_property("stopped_after_ms", {name: round(1000 * seconds) for name, seconds in found.items()})
    print({name: round(1000 * seconds) for name, seconds in found.items()})
    assert max(found.values()) < STOP_LIMIT_S, found


def test_elsewhere_than_on_loopback_a_token_is_asked(cell, page, process, tmp_path):
    (tmp_path / "episodes").mkdir()
    console, address = start_console(process, tmp_path, "port:=0", "host:=0.0.0.0")
    plain, token = address.split("?token=")
    here = f"http://127.0.0.1:{plain.rsplit(':', 1)[1]}"
    for path in ("", "camera/front.jpg", "static/console.js", f"episodes/{FIRST}/thumbnail.jpg", "?token=wrong"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(here + path, timeout=5)
        assert refused.value.code == 401
    page.open(f"{here}?token={token}")
    page.wait(lambda: page.text("mode") == "Ready")
    assert "token" not in page.driver.current_url
    assert console.output().count(token) == 1
    begun = time.monotonic()
    assert console.interrupt(timeout=5.0) == 0
    assert time.monotonic() - begun < 2.0
    page.wait(lambda: page.script("return document.body.classList.contains('offline')"))


def test_a_taken_port_is_one_line(ros_domain, process, tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "prophrl_cell.nodes.console_node", "--ros-args", "-p", "cell_file:=sim"]
        values = ("task_file:=grasp_bottle", f"episodes_dir:={tmp_path}", f"port:={port}")
        console = process([*command, *(word for value in values for word in ("-p", value))])
        assert console.wait(20) == 2
    assert console.output().startswith("prophrl: error: console: expected 127.0.0.1:")
    assert console.output().count("\n") == 1
