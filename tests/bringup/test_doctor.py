"""The doctor: findings on broken machines and cells, their advice, and the exit status."""

import dataclasses
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from prophrl_bringup import cell_checks, environment, machine_checks
from prophrl_bringup.doctor import BLOCKING, OK, WARNING
from prophrl_core.cell import load_cell

ROOT = Path(__file__).resolve().parents[2]
PROFILE = environment.share_folder() / "config" / "fastdds.xml"


def doctor(*words: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [ROOT / "prophrl", "doctor", *words], env=os.environ | variables, capture_output=True, text=True, timeout=120
    )


def at(cell, ip: str):
    return dataclasses.replace(cell, robot=dataclasses.replace(cell.robot, ip=ip))


def test_a_ready_machine_has_no_blocking_finding(loopback_ip):
    run = doctor("--robot-ip", loopback_ip)
    assert run.returncode == 0, run.stdout + run.stderr
    for subject in ("ROS 2", "workspace", "DDS profile", "shared memory", "off-screen GL", "librealsense", "real time",
                    "CPU", "GPU", "disk", "cell ports", "cell cameras"):  # fmt: skip
        assert re.search(rf"^(ok|note|warning) +{re.escape(subject)} ", run.stdout, re.MULTILINE), subject


def test_a_taken_port_of_the_simulated_cell_blocks_and_names_it(loopback_ip):
    with socket.create_server((loopback_ip, 30004)):
        run = doctor("--robot-ip", loopback_ip)
        assert run.returncode == 1
        assert f"{loopback_ip}:30004 (RTDE)" in run.stdout
        assert "--robot-ip" in run.stdout
        assert "blocking: cell ports" in run.stderr


def test_a_real_cell_that_does_not_answer_blocks(loopback_ip):
    findings = cell_checks.ports(at(load_cell("ur30e"), loopback_ip))
    assert [finding.level for finding in findings] == [BLOCKING]
    assert "no controller" in findings[0].text and findings[0].advice


def test_a_controller_without_its_gripper_says_which_port(loopback_ip):
    servers = [socket.create_server((loopback_ip, port)) for port in cell_checks.CONTROLLER_PORTS]
    try:
        findings = cell_checks.ports(at(load_cell("ur30e"), loopback_ip))
    finally:
        for server in servers:
            server.close()
    assert findings[0].level == BLOCKING and "63352 (gripper)" in findings[0].text and "30004" not in findings[0].text


def test_a_camera_that_is_not_connected_blocks_and_recordings_do_not(monkeypatch):
    cell = load_cell("ur30e")
    wanted = dataclasses.replace(cell.cameras[0], serial="123456")
    monkeypatch.setattr(cell_checks, "_connected_serials", lambda: ["999999"])
    found = cell_checks.cameras(dataclasses.replace(cell, cameras=(wanted,)))
    assert found[0].level == BLOCKING and "123456" in found[0].text and "999999" in found[0].text
    monkeypatch.setattr(cell_checks, "_connected_serials", lambda: ["999999", "123456"])
    assert cell_checks.cameras(dataclasses.replace(cell, cameras=(wanted,)))[0].level == OK
    replayed = dataclasses.replace(wanted, source="recording", file="x.db3")
    monkeypatch.setattr(cell_checks, "_connected_serials", lambda: pytest.fail("looked for a device"))
    assert cell_checks.cameras(dataclasses.replace(cell, cameras=(replayed,)))[0].level == OK


@pytest.mark.parametrize(
    ("content", "level"),
    [
        (PROFILE.read_text(), OK),
        (PROFILE.read_text().replace("33554432", "524288"), WARNING),
        (re.sub("<segment_size>.*</segment_size>", "", PROFILE.read_text()), WARNING),
        ("<dds>", BLOCKING),
        (None, BLOCKING),
    ],
)
def test_the_dds_profile_is_judged_by_its_segment(tmp_path, monkeypatch, content, level):
    path = tmp_path / "profile.xml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(path))
    finding = machine_checks.dds_profile()[0]
    assert finding.level == level
    assert bool(finding.advice) == (level != OK)


def test_no_profile_at_all_is_a_warning(monkeypatch):
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    assert machine_checks.dds_profile()[0].level == WARNING


def test_a_full_disk_and_a_small_shared_memory_are_found(monkeypatch):
    usage = type("Usage", (), {"free": 50 << 20})
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(PROFILE))
    assert machine_checks.disk()[0].level == BLOCKING
    memory = machine_checks.dds_memory()[0]
    assert memory.level == BLOCKING and "shm-size" in memory.advice


def test_broken_graphics_are_found_without_taking_the_doctor_along(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    finding = machine_checks.graphics()[0]
    assert finding.level == BLOCKING and "apt-get install" in finding.advice


def test_an_unknown_cell_is_a_blocking_finding_not_a_traceback():
    run = doctor("--cell", "moon")
    assert run.returncode == 1
    assert "BLOCKING" in run.stdout and "'moon' is not known" in run.stdout and "Traceback" not in run.stderr
