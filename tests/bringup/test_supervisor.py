"""The supervisor with small programs in place of nodes: order, ends, restarts, errors, and that nothing is left."""

import asyncio
import os
import signal
import stat
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from prophrl_bringup import supervisor as supervisor_module
from prophrl_bringup.processes import Process
from prophrl_bringup.supervisor import Supervisor
from prophrl_core.errors import UserError

FOREVER = "trap 'exit 0' INT TERM; while :; do sleep 0.05; done"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Writes shell programs where the ament index finds them; returns ``add(name, script)`` -> Process."""
    prefix = tmp_path / "prefix"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    folder = prefix / "lib" / "programs"
    index.mkdir(parents=True)
    folder.mkdir(parents=True)
    (index / "programs").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}{os.pathsep}{os.environ.get('AMENT_PREFIX_PATH', '')}")

    def add(name: str, script: str, **fields) -> Process:
        path = folder / name
        path.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/{name}.pids\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return Process(name, "programs", name, **fields)

    return add


def run(processes, tmp_path) -> int:
    return asyncio.run(Supervisor(processes, tmp_path).run())


def pids(tmp_path, name) -> list[int]:
    return [int(line) for line in (tmp_path / f"{name}.pids").read_text().split()]


def assert_nothing_left(tmp_path):
    for path in tmp_path.glob("*.pids"):
        for pid in pids(tmp_path, path.stem):
            assert not psutil.pid_exists(pid), f"{path.stem} still runs"


def test_session_ends_with_its_last_process_and_stops_the_others(programs, tmp_path):
    processes = [programs("node", FOREVER), programs("trials", "sleep 0.3", last=True)]
    assert run(processes, tmp_path) == 0
    assert_nothing_left(tmp_path)


def test_early_end_of_the_last_process_is_the_status(programs, tmp_path):
    assert run([programs("node", FOREVER), programs("trials", "exit 1", last=True)], tmp_path) == 1


def test_later_processes_wait_for_the_ready_file(programs, tmp_path):
    ready = tmp_path / "ready"
    processes = [
        programs("server", f"sleep 0.4; touch {ready}; {FOREVER}", ready_file=ready),
        programs("client", f"test -f {ready} || exit 7", last=True),
    ]
    assert run(processes, tmp_path) == 0


def test_output_goes_to_log_files_and_to_the_terminal(programs, tmp_path, capfd):
    processes = [programs("talker", f"echo hello; echo trouble >&2; {FOREVER}"), programs("trials", "sleep 0.3", last=True)]
    run(processes, tmp_path)
    assert (tmp_path / "talker.log").read_text() == "hello\ntrouble\n"
    assert "[talker] hello\n" in capfd.readouterr().out


def test_a_death_surfaces_the_one_line_error_and_stops_the_rest(programs, tmp_path):
    script = "echo 'prophrl: error: robot 10.0.0.1: no answer; check the cable' >&2; sleep 0.2; echo bye; exit 2"
    with pytest.raises(UserError, match=r"^robot 10\.0\.0\.1: no answer; check the cable$"):
        run([programs("node", FOREVER), programs("arm", script)], tmp_path)
    assert_nothing_left(tmp_path)


def test_a_silent_death_names_the_process_its_status_and_its_log(programs, tmp_path):
    with pytest.raises(UserError, match=r"arm ended with -9; see .*arm\.log"):
        run([programs("arm", "kill -9 $$")], tmp_path)


def test_death_before_ready_ends_the_session(programs, tmp_path):
    processes = [programs("server", "exit 3", ready_file=tmp_path / "never"), programs("client", FOREVER)]
    with pytest.raises(UserError, match="server ended with 3"):
        run(processes, tmp_path)
    assert not (tmp_path / "client.pids").exists()


def test_crash_of_a_restartable_process_is_survived(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor_module, "RESTART_DELAY_S", 0.05)
    crash_once = f"test $(wc -l < {tmp_path}/policy.pids) -ge 2 || kill -9 $$; {FOREVER}"
    processes = [programs("policy", crash_once, restart=True), programs("trials", "sleep 1", last=True)]
    assert run(processes, tmp_path) == 0
    assert len(pids(tmp_path, "policy")) == 2
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(("restart", "starts"), [(False, 1), (True, 4)])
def test_a_session_goes_on_without_an_optional_process(programs, tmp_path, monkeypatch, capfd, restart, starts):
    monkeypatch.setattr(supervisor_module, "RESTART_DELAY_S", 0.01)
    prophet = programs("prophet", "exit 1", restart=restart, optional=True)
    assert run([prophet, programs("trials", "sleep 0.6", last=True)], tmp_path) == 0
    assert len(pids(tmp_path, "prophet")) == starts
    assert "going on without prophet: prophet ended with 1; see " in capfd.readouterr().err
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(("status", "starts"), [(2, 1), (1, 4)])
def test_restarts_are_bounded_and_not_for_user_errors(programs, tmp_path, monkeypatch, status, starts):
    monkeypatch.setattr(supervisor_module, "RESTART_DELAY_S", 0.01)
    with pytest.raises(UserError, match=f"policy ended with {status}"):
        run([programs("policy", f"exit {status}", restart=True)], tmp_path)
    assert len(pids(tmp_path, "policy")) == starts


def test_a_process_deaf_to_signals_and_its_children_are_killed_in_bounded_time(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor_module, "INTERRUPT_GRACE_S", 0.3)
    monkeypatch.setattr(supervisor_module, "TERMINATE_GRACE_S", 0.3)
    deaf = f"trap '' INT TERM; (echo $$ >/dev/null; exec sleep 1000) & echo $! >> {tmp_path}/child.pids; while :; do sleep 1; done"
    begun = time.monotonic()
    assert run([programs("deaf", deaf), programs("trials", "sleep 0.3", last=True)], tmp_path) == 0
    assert time.monotonic() - begun < 10
    time.sleep(0.1)
    child = pids(tmp_path, "child")[0]
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


DRIVER = """
import asyncio, sys
from pathlib import Path
from prophrl_bringup.processes import Process
from prophrl_bringup.supervisor import Supervisor
supervisor = Supervisor([Process("node", "programs", "node")], Path(sys.argv[1]))
status = asyncio.run(supervisor.run())
print("interrupted", supervisor.interrupted)
sys.exit(status)
"""


def start_driver(programs, process, tmp_path):
    programs("node", f"echo started; {FOREVER}")
    driver = process([sys.executable, "-c", textwrap.dedent(DRIVER), tmp_path], name="driver")
    driver.wait_for(r"\[node\] started")
    return driver


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_cleanly(programs, process, tmp_path, number):
    driver = start_driver(programs, process, tmp_path)
    driver.signal(number)
    assert driver.wait(10) == 0
    assert "interrupted True" in driver.output()
    assert_nothing_left(tmp_path)


def test_processes_end_with_a_killed_supervisor(programs, process, tmp_path):
    driver = start_driver(programs, process, tmp_path)
    node = pids(tmp_path, "node")[0]
    os.kill(driver.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{node}/cmdline").exists() and Path(f"/proc/{node}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the node outlived its owner"
        time.sleep(0.05)
