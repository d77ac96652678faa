"""The unmodified ur_rtde drives the emulated controller, over TCP, from another process."""

import signal

import pytest
from emulated_cell import UR_RTDE_PATHS, EmulatedCell

VERSIONS = ["", *UR_RTDE_PATHS]


@pytest.fixture
def cell(process, loopback_ip, tmp_path):
    return EmulatedCell(process, loopback_ip, tmp_path)


TOUR = """
c, r, d = control(), receive(), dashboard()
io = rtde_io.RTDEIOInterface(IP)
q = r.getActualQ()
moved = [*q]; moved[0] += 0.2; moved[3] -= 0.1
out = {"mode": d.robotmode(), "safety": d.safetystatus(), "remote": d.isInRemoteControl(), "running": d.running()}
out["settings"] = [c.setTcp([0, 0, 0.165, 0, 0, 0]), c.setPayload(1.0, [0, 0, 0.06]), c.zeroFtSensor()]
out["tcp"] = c.getTCPOffset()
wait(lambda: abs(r.getActualTCPPose()[2] - c.getForwardKinematics()[2]) < 1e-6)
pose = r.getActualTCPPose()
out["forward"] = [a - b for a, b in zip(c.getForwardKinematics(q, [0, 0, 0.165, 0, 0, 0]), pose)]
out["inverse"] = [a - b for a, b in zip(c.getInverseKinematics(pose, q), q)]
out["reachable"] = [c.getInverseKinematicsHasSolution(pose), c.getInverseKinematicsHasSolution([5, 0, 0, 0, 0, 0])]
out["within"] = [c.isJointsWithinSafetyLimits(q), c.isJointsWithinSafetyLimits([7] * 6), c.isPoseWithinSafetyLimits(pose)]
out["pose_trans"] = c.poseTrans([1, 0, 0, 0, 0, 1.5707963], [0, 1, 0, 0, 0, 0])
out["steady"] = wait(c.isSteady, 2)
def off(a, b): return max(abs(x - y) for x, y in zip(a, b))
out["moves"] = [c.moveJ(moved, 1.5, 4.0), off(r.getActualQ(), moved)]
up = [*pose]; up[2] += 0.05
out["movel"] = [c.moveL(up, 0.3, 2.0), off(r.getActualTCPPose(), up)]
out["movej_ik"] = [c.moveJ_IK(pose, 1.5, 4.0), off(r.getActualTCPPose(), pose)]
out["movel_fk"] = [c.moveL_FK(q, 0.3, 2.0), off(r.getActualQ(), q)]
out["async"] = [c.moveJ(moved, 0.3, 1.0, True), wait(lambda: c.getAsyncOperationProgress() >= 0, 1)]
wait(lambda: r.getActualQd()[0] > 0.2, 2)
c.stopJ(4.0)
out["stopped"] = [abs(r.getActualQ()[0] - q[0]), wait(lambda: c.getAsyncOperationProgress() < 0, 1), c.moveJ(q, 1.5, 4.0)]
out["speedj"] = [c.speedJ([0.3, 0, 0, 0, 0, 0], 4.0, 0.0), wait(lambda: abs(r.getActualQd()[0] - 0.3) < 0.01, 2), c.speedStop(8.0)]
out["speedl"] = [c.speedL([0, 0.1, 0, 0, 0, 0], 1.0, 0.0), wait(lambda: abs(r.getActualTCPSpeed()[1] - 0.1) < 0.003, 2), c.speedStop(8.0)]
c.moveJ(q, 1.5, 4.0)
target, ok = r.getActualTCPPose(), True
for i in range(60):
    target[1] += 0.0005
    ok &= c.servoL(target, 0, 0, 0.008, 0.05, 600)
    time.sleep(0.008)
out["servol"] = [ok, wait(lambda: off(r.getActualTCPPose(), target) < 0.002, 1), c.servoStop()]
out["force"] = [c.forceMode([0] * 6, [0, 0, 1, 0, 0, 0], [0, 0, 10, 0, 0, 0], 2, [0.1] * 6),
                wait(lambda: r.getActualTCPSpeed()[2] > 0.005, 2), c.forceModeStop()]
c.jogStart([0, -0.05, 0, 0, 0, 0])
out["jog"] = [wait(lambda: r.getActualTCPSpeed()[1] < -0.04, 2), c.isSteady(), r.getActualTCPSpeed()[1] < -0.04, c.jogStop()]
out["free"] = [c.freedriveMode(), c.endFreedriveMode(), c.teachMode(), c.endTeachMode()]
out["io"] = [io.setStandardDigitalOut(3, True), io.setToolDigitalOut(1, True), io.setSpeedSlider(0.5)]
out["io"] += [wait(lambda: r.getActualDigitalOutputBits() == 1 << 3 | 1 << 17, 1), wait(lambda: r.getSpeedScaling() == 0.5, 1)]
started = time.monotonic(); c.moveJ(moved, 1.0, 8.0); slow = time.monotonic() - started
io.setSpeedSlider(1.0); wait(lambda: r.getSpeedScaling() == 1.0, 1)
started = time.monotonic(); c.moveJ(q, 1.0, 8.0); out["slider"] = slow / (time.monotonic() - started)
joint = rtde_control.PathEntry(rtde_control.PathEntry.MoveJ, rtde_control.PathEntry.PositionJoints, moved + [1.5, 4.0, 0.0])
line = rtde_control.PathEntry(rtde_control.PathEntry.MoveL, rtde_control.PathEntry.PositionTcpPose, up + [0.3, 2.0, 0.0])
route = rtde_control.Path(); route.addEntry(joint); route.addEntry(line)
out["path"] = [c.movePath(route), off(r.getActualTCPPose(), up)]
out["custom"] = [c.sendCustomScriptFunction("there", "movej([%s], a=4, v=1.5)\\n" % ",".join(map(str, moved))), off(r.getActualQ(), moved)]
wait(c.isProgramRunning)
c.disconnect()
out["again"] = [c.reconnect(), c.moveJ(q, 1.5, 4.0), off(r.getActualQ(), q)]
c.reuploadScript(); wait(lambda: not c.isProgramRunning(), 0.05); wait(c.isProgramRunning)
time.sleep(0.1)
out["watchdog"] = [c.setWatchdog(5.0)]
for _ in range(8): c.kickWatchdog(); time.sleep(0.05)
out["watchdog"] += [c.isProgramRunning(), wait(lambda: not c.isProgramRunning(), 2)]
done(**out)
"""


@pytest.mark.parametrize("ur_rtde", VERSIONS, ids=lambda path: path.rstrip("/").rpartition("/")[2] or "installed")
def test_a_tour_of_the_control_interface(cell, ur_rtde):
    out = cell.run(TOUR, ur_rtde)
    assert out["mode"] == "Robotmode: RUNNING" and out["safety"] == "Safetystatus: NORMAL"
    assert out["remote"] is True and out["running"] is True
    assert out["settings"] == [True] * 3 and out["tcp"] == [0, 0, 0.165, 0, 0, 0]
    assert max(map(abs, out["forward"])) < 1e-6 and max(map(abs, out["inverse"])) < 1e-6
    assert out["reachable"] == [True, False] and out["within"] == [True, False, True]
    assert out["pose_trans"] == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.0, 1.5707963], abs=1e-6)
    assert out["steady"] is True
    for name in ("moves", "movel", "movej_ik", "movel_fk", "path", "custom"):
        succeeded, off = out[name]
        assert succeeded and off < 0.004, (name, off)
    assert out["async"] == [True, True] and out["stopped"][1:] == [True, True]
    assert 0.005 < out["stopped"][0] < 0.19
    for name in ("speedj", "speedl", "servol", "force"):
        assert out[name] == [True] * 3, name
    assert out["jog"] == [True, False, True, True]
    assert out["free"] == [True] * 4 and out["io"] == [True] * 5
    assert 1.5 < out["slider"] < 2.6
    assert out["again"][:2] == [True, True] and out["again"][2] < 0.004
    assert out["watchdog"] == [True, True, True]


def test_power_states_and_protective_stop_as_the_client_sees_them(cell):
    out = cell.run(
        """
c, r, d = control(), receive(), dashboard()
q = r.getActualQ(); moved = [*q]; moved[0] += 0.1
out = {"stop": [c.triggerProtectiveStop(), wait(r.isProtectiveStopped), r.getSafetyMode(), d.safetystatus()]}
out["refused"] = c.moveJ(moved, 1.0, 2.0)
try:
    d.unlockProtectiveStop(); out["early"] = "unlocked"
except RuntimeError as error:
    out["early"] = str(error)
time.sleep(5.1)
d.closeSafetyPopup(); d.unlockProtectiveStop()
out["unlocked"] = wait(lambda: not r.isProtectiveStopped())
c.reuploadScript(); out["resumed"] = [wait(c.isProgramRunning), c.moveJ(moved, 1.0, 2.0)]
d.powerOff()
out["off"] = [wait(lambda: r.getRobotMode() == 3), d.robotmode(), wait(lambda: not c.isProgramRunning()), c.moveJ(q, 1.0, 2.0)]
d.powerOn(); out["idle"] = wait(lambda: r.getRobotMode() == 5)
d.brakeRelease(); out["on"] = wait(lambda: r.getRobotMode() == 7)
c.reuploadScript(); out["again"] = [wait(c.isProgramRunning), c.moveJ(q, 1.0, 2.0)]
d.stop(); out["stopped"] = [wait(lambda: not c.isProgramRunning()), r.getRuntimeState()]
done(**out)
"""
    )
    assert out["stop"] == [True, True, 3, "Safetystatus: PROTECTIVE_STOP"] and out["refused"] is False
    assert "Cannot unlock" in out["early"]
    assert out["unlocked"] is True and out["resumed"] == [True, True]
    assert out["off"] == [True, "Robotmode: POWER_OFF", True, False]
    assert out["idle"] is True and out["on"] is True and out["again"] == [True, True]
    assert out["stopped"][0] is True and out["stopped"][1] in (0, 1)


def test_targets_that_jump_end_in_a_protective_stop(cell):
    out = cell.run(
        """
c, r = control(), receive()
q = r.getActualQ()
out = {"servo": [c.servoJ([v + 0.01 for v in q], 0, 0, 0.008, 0.05, 600)]}
time.sleep(0.3); out["fine"] = not r.isProtectiveStopped()
c.servoStop()
out["unreachable"] = c.moveL([3.0, 0, 0.3, 0, 3.14, 0], 0.3, 2.0)
out["stopped"] = wait(r.isProtectiveStopped)
done(**out)
"""
    )
    assert out["servo"] == [True] and out["fine"] and out["unreachable"] is False and out["stopped"]
    reason = cell.state()["stop_reason"]
    assert "reach" in reason or "sudden change" in reason


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "1e300"])
def test_targets_that_are_no_positions_stop_the_arm_where_it_is(cell, value):
    before = cell.state()["q"]
    cell.run(f"c = control()\nc.servoJ([{value}] * 6, 0, 0, 0.008, 0.05, 600)\ntime.sleep(0.3)\ndone(ok=True)")
    state = cell.state()
    assert state["runtime_state"] in ("STOPPING", "STOPPED")
    assert max(abs(a - b) for a, b in zip(state["q"], before)) < 0.05
    assert cell.process.returncode is None


def test_one_owner_per_input_register(cell):
    out = cell.run(
        """
first = control()
try:
    control(); out = "accepted"
except Exception as error:
    out = str(error)
done(second=out, first=wait(first.isSteady))
"""
    )
    assert "use" in out["second"].lower() and out["first"] is True


def test_upper_registers_carry_a_whole_program(cell):
    out = cell.run(
        """
flags = rtde_control.RTDEControlInterface.FLAG_UPLOAD_SCRIPT | rtde_control.RTDEControlInterface.FLAG_UPPER_RANGE_REGISTERS
c, r = rtde_control.RTDEControlInterface(IP, 500.0, flags), receive()
q = r.getActualQ(); q[5] += 0.1
moved = c.moveJ(q, 1.0, 4.0)
c.servoJ([*q[:5], q[5] + 0.02], 0, 0, 0.008, 0.05, 600)
done(moved=moved, servo=wait(lambda: abs(r.getActualQ()[5] - q[5] - 0.02) < 0.002))
"""
    )
    assert out == {"moved": True, "servo": True}


def test_it_ends_cleanly_and_gives_its_ports_back(process, loopback_ip, tmp_path):
    first = EmulatedCell(process, loopback_ip, tmp_path)
    assert first.process.interrupt() == 0
    second = EmulatedCell(process, loopback_ip, tmp_path)
    second.process.signal(signal.SIGTERM)
    assert second.process.wait(5.0) == 0


def test_a_taken_address_is_one_line(process, loopback_ip, tmp_path, cell):
    other = process([*cell.process.command], name="other")
    assert other.wait(10.0) == 2
    lines = [line for line in other.output().splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("prophrl: error:") and cell.ip in lines[0]
