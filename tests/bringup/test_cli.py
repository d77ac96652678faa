"""The prophrl command: what it lists, what it imports for that, and its one-line errors."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prophrl_bringup import cli

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "rclpy", "mujoco", "onnxruntime", "pyrealsense2", "rtde_control")

RUN_AND_TELL = """
import json, sys
sys.argv = ["prophrl", *sys.argv[1:]]
from prophrl_bringup import cli
try:
    cli.main()
except SystemExit as end:
    print(json.dumps({"status": end.code, "modules": [m for m in %r if m in sys.modules]}))
""" % (HEAVY,)


def in_process_of_its_own(*words: str) -> tuple[dict, str]:
    run = subprocess.run([sys.executable, "-c", RUN_AND_TELL, *words], capture_output=True, text=True, timeout=60)
    return json.loads(run.stdout.splitlines()[-1]), run.stdout + run.stderr


def test_help_lists_every_command_and_imports_nothing_heavy():
    end, output = in_process_of_its_own("--help")
    assert end == {"status": 0, "modules": []}
    for name in cli.COMMANDS:
        line = next(line for line in output.splitlines() if line.startswith(f"  {name} "))
        assert len(line.split(name, 1)[1].strip()) > 10, f"{name} has no help"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_commands_own_help_imports_nothing_heavy(name):
    end, output = in_process_of_its_own(*name.split(), "--help")
    assert end["status"] == 0, output
    assert end["modules"] == [], f"prophrl {name} --help imports {end['modules']}"
    assert f"usage: prophrl {name}" in output


def test_a_room_alone_lists_its_commands():
    end, output = in_process_of_its_own("bench")
    assert end["status"] == 0
    assert "bench control" in output and "train sft" not in output


@pytest.mark.parametrize("words", [["nonsense"], ["sim", "nonsense"], ["train", "sfd", "--n", "3"]])
def test_unknown_commands_are_one_line_and_status_2(words):
    end, output = in_process_of_its_own(*words)
    assert end["status"] == 2
    errors = [line for line in output.splitlines() if line.startswith("prophrl: error:")]
    assert len(errors) == 1 and words[0] in errors[0]
    assert "Traceback" not in output


def test_a_missing_optional_package_is_one_line_that_says_what_to_run(monkeypatch, capsys):
    class NeedsTorch:
        HELP = "x"

        @staticmethod
        def add_arguments(parser): ...

        @staticmethod
        def run(arguments):
            monkeypatch.setitem(sys.modules, "torch", None)
            importlib.import_module("torch")

    monkeypatch.setitem(cli.COMMANDS, "needs torch", "needs_torch")
    monkeypatch.setitem(sys.modules, "needs_torch", NeedsTorch)
    monkeypatch.setattr(sys, "argv", ["prophrl", "needs", "torch"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "prophrl: error: this command needs torch; run: make setup EXTRAS=train\n"


def test_the_wrapper_works_from_any_directory_and_with_a_bare_environment(tmp_path):
    bare = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
    run = subprocess.run([ROOT / "prophrl", "--help"], cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "\n  up " in run.stdout


def test_the_wrapper_is_not_fooled_by_modules_in_the_working_directory(tmp_path):
    (tmp_path / "argparse.py").write_text("raise SystemExit('shadowed')")
    run = subprocess.run([ROOT / "prophrl", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_the_wrapper_without_a_set_up_says_what_to_run(tmp_path):
    copy = tmp_path / "prophrl"
    copy.write_bytes((ROOT / "prophrl").read_bytes())
    copy.chmod(0o755)
    run = subprocess.run([copy, "--help"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert run.stderr.startswith("prophrl: error:") and "make" in run.stderr and run.stderr.count("\n") == 1
