"""Every injected fault, as the real client experiences it."""

import socket
import time

import pytest
from emulated_cell import EmulatedCell

STREAM = """
c, r = control(), receive()
q = r.getActualQ()
print("READY", flush=True)
stamps, codes, end = [], [], time.monotonic() + SECONDS
while time.monotonic() < end:
    t = time.monotonic()
    try:
        codes.append(bool(c.servoJ(q, 0, 0, 0.008, 0.05, 600)))
    except Exception as error:
        codes.append(str(error)[:80])
    stamps.append((t, r.getTimestamp()))
    time.sleep(0.008)
gaps = [0.0]
for (t0, s0), (t1, s1) in zip(stamps, stamps[1:]):
    gaps.append(gaps[-1] + t1 - t0 if s1 == s0 else 0.0)
done(gap=max(gaps), codes=codes[-5:], bits=[r.isProtectiveStopped(), r.isEmergencyStopped()], mode=r.getRobotMode(),
     safety=r.getSafetyMode(), runtime=r.getRuntimeState(), running=c.isProgramRunning(), advanced=stamps[-1][1] - stamps[0][1])
"""


@pytest.fixture
def cell(process, loopback_ip, tmp_path):
    return EmulatedCell(process, loopback_ip, tmp_path)


def under_fault(cell: EmulatedCell, streaming: float, kind: str, **content) -> dict:
    """A client streams servoJ for ``streaming`` seconds; the fault comes 0.5 s after its start."""
    client = cell.client(STREAM.replace("SECONDS", str(streaming)))
    client.wait_for("^READY")
    time.sleep(0.5)
    cell.fault(kind, **content)
    return cell.result(client)


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_a_stall_stops_the_clock_and_ends_by_itself(cell, seconds):
    out = under_fault(cell, 1.5 + seconds, "stall", seconds=seconds)
    assert out["gap"] > 0.8 * seconds
    assert out["codes"][-1] is True and out["running"] and out["runtime"] == 2


def test_silence_keeps_the_robot_playing(cell):
    out = under_fault(cell, 2.5, "silence", seconds=0.8)
    assert out["gap"] > 0.6 and out["codes"][-1] is True and out["running"]
    assert cell.state()["runtime_state"] == "PLAYING"


def test_lost_packages_slow_nothing_down(cell):
    out = under_fault(cell, 2.0, "drop", rate=0.5)
    assert out["codes"][-1] is True and out["advanced"] > 1.0 and out["running"]


def test_a_killed_controller_resets_its_sockets_and_comes_back(cell):
    client = cell.client(STREAM.replace("SECONDS", "6"))
    client.wait_for("^READY")
    cell.fault("kill", seconds=2.0)
    for port in (30004, 29999, 30003, 63352):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((cell.ip, port), 1.0)
    assert cell.state()["runtime_state"] in ("STOPPING", "STOPPED")
    client.clean_up()
    time.sleep(2.2)
    out = cell.run("c, r = control(), receive()\nq = r.getActualQ(); q[0] += 0.05\ndone(moved=c.moveJ(q, 1.0, 4.0))")
    assert out["moved"] is True


def test_garbage_does_not_stop_the_controller(cell):
    client = cell.client(STREAM.replace("SECONDS", "3"))
    client.wait_for("^READY")
    cell.fault("garbage")
    time.sleep(0.5)
    client.clean_up()
    out = cell.run("r = receive()\nt = r.getTimestamp()\ndone(alive=wait(lambda: r.getTimestamp() > t))")
    assert out["alive"] is True


@pytest.mark.parametrize("keep, runtime", [(False, {0, 1}), (True, {2})])
def test_protective_stop_with_and_without_the_program(cell, keep, runtime):
    out = under_fault(cell, 1.5, "protective_stop", keep_program=keep)
    assert out["bits"] == [True, False] and out["safety"] == 3 and out["runtime"] in runtime


def test_an_emergency_stop_and_its_way_back(cell):
    out = under_fault(cell, 1.5, "estop")
    assert out["bits"] == [False, True] and out["safety"] == 7 and out["mode"] == 3 and out["codes"][-1] is False
    cell.fault("clear")
    out = cell.run("c, r = control(), receive()\nq = r.getActualQ(); q[0] += 0.05\ndone(moved=c.moveJ(q, 1.0, 4.0))")
    assert out["moved"] is True


def test_power_off_ends_the_program(cell):
    out = under_fault(cell, 1.5, "power_off")
    assert out["mode"] == 3 and not out["running"] and out["codes"][-1] is False


def test_local_mode_is_refused_by_the_client(cell):
    cell.fault("local_mode")
    code = "try:\n    control(); out = 'accepted'\nexcept Exception as error:\n    out = str(error)\ndone(out=out)"
    assert "remote control" in cell.run(code)["out"]
    cell.fault("clear")
    assert cell.run(code)["out"] == "accepted"


def test_busy_registers_are_refused_by_the_client(cell):
    cell.fault("register_in_use")
    code = "try:\n    control(); out = 'accepted'\nexcept Exception as error:\n    out = str(error)\ndone(out=out)"
    assert "already in use" in cell.run(code)["out"]


def test_a_silent_client_trips_the_watchdog(cell):
    client = cell.client(
        """
c, r = control(), receive()
c.setWatchdog(10.0)
c.speedJ([0.1, 0, 0, 0, 0, 0], 2.0, 0.0)
print("MOVING", flush=True)
time.sleep(60)
"""
    )
    client.wait_for("^MOVING")
    client.clean_up()
    deadline = time.monotonic() + 5.0
    while cell.state()["runtime_state"] != "STOPPED" and time.monotonic() < deadline:
        time.sleep(0.05)
    state = cell.state()
    assert state["runtime_state"] == "STOPPED" and "watchdog" in state["stop_reason"]
    assert max(map(abs, state["qd"])) < 0.02


def test_pushing_hard_into_the_table_is_a_protective_stop(cell):
    out = cell.run(
        """
c, r = control(), receive()
c.setTcp([0, 0, 0.165, 0, 0, 0])
time.sleep(0.1)
down = r.getActualTCPPose(); down[2] = -0.05; down[0] = 0.4; down[1] = 0.25
above = [*down]; above[2] = 0.1
c.moveL(above, 0.5, 2.0)
moved = c.moveL(down, 0.1, 1.0)
done(moved=moved, stopped=wait(r.isProtectiveStopped))
"""
    )
    assert out == {"moved": False, "stopped": True}
    assert "force" in cell.state()["stop_reason"]


def test_moving_until_contact_stops_on_the_table(cell):
    out = cell.run(
        """
c, r = control(), receive()
c.setTcp([0, 0, 0.165, 0, 0, 0])
time.sleep(0.1)
above = r.getActualTCPPose(); above[0] = 0.4; above[1] = 0.25; above[2] = 0.03
c.moveL(above, 0.5, 2.0)
touched = c.moveUntilContact([0, 0, -0.03, 0, 0, 0])
done(touched=touched, height=r.getActualTCPPose()[2], stopped=r.isProtectiveStopped())
"""
    )
    assert out["touched"] is True and out["stopped"] is False and abs(out["height"]) < 0.03


def test_bad_requests_at_the_control_port_get_one_line(cell):
    from prophrl_sim.control_client import ControlError

    for request in ({"kind": "flood"}, {"kind": "stall", "seconds": -1}, {"kind": "drop", "rate": 2.0}):
        with pytest.raises(ControlError, match="expected"):
            cell.fault(**request)
    with socket.create_connection((cell.ip, 63399)) as sock:
        for line in (b"nonsense\n", b"[1]\n", b'{"cmd": "reset", "seed": "x"}\n'):
            sock.sendall(line)
            assert b'"ok": false' in sock.recv(4096)


def test_noise_on_every_port_leaves_the_controller_running(cell):
    for port in (30001, 30002, 30003, 30004, 29999, 63352, 63399):
        with socket.create_connection((cell.ip, port), 2.0) as sock:
            sock.sendall(bytes(range(256)) * 40 + b"\n")
    before = cell.state()["controller_time"]
    time.sleep(0.2)
    assert cell.state()["controller_time"] > before
