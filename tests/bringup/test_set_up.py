"""The set-up program: what makes it build again, what it would install, and the environment it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tools" / "prophrl_setup"


@pytest.fixture(scope="module")
def setup_modules():
    """The set-up program's modules; it is a program, not a package, so its folder goes on the path while it loads."""
    import importlib

    sys.path.insert(0, str(PROGRAM))
    try:
        names = ("progress", "requirements", "ros_environment", "python_environment", "system_packages", "workspace")
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(PROGRAM))


def test_a_second_run_has_nothing_to_do():
    for _ in range(2):
        run = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, timeout=600)
        assert run.returncode == 0, run.stderr
    assert run.stdout == ""


def test_python_too_old_is_one_line():
    code = f"import sys, runpy; sys.version_info = (3, 9, 2); runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith("setup: error: expected Python 3.11 or newer") and run.stderr.count("\n") == 1


def make_package(folder: Path) -> Path:
    package = folder / "ros2_ws" / "src" / "pkg"
    for name in ("package.xml", "setup.py", "pkg/module.py", "msg/Thing.msg", "launch/one.launch.py"):
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return package


@pytest.mark.parametrize(
    ("change", "rebuilds"),
    [
        (lambda p: (p / "pkg/module.py").write_text("edited"), False),
        (lambda p: (p / "pkg/new_module.py").write_text("new"), False),
        (lambda p: (p / "launch/one.launch.py").write_text("edited"), False),
        (lambda p: (p / "launch/two.launch.py").write_text("new"), True),
        (lambda p: (p / "msg/Thing.msg").write_text("edited"), True),
        (lambda p: (p / "msg/Other.msg").write_text("new"), True),
        (lambda p: (p / "setup.py").write_text("edited"), True),
    ],
)
def test_only_what_a_symlinked_install_does_not_see_is_built_again(setup_modules, tmp_path, change, rebuilds):
    workspace = setup_modules["workspace"]
    package = make_package(tmp_path)
    (tmp_path / "ros2_ws" / "install" / "pkg").mkdir(parents=True)
    built = {"pkg": workspace.fingerprint(package)}
    assert workspace.stale_packages(tmp_path, built) == {}
    change(package)
    assert bool(workspace.stale_packages(tmp_path, built)) == rebuilds


def test_a_package_whose_install_is_gone_is_built_again(setup_modules, tmp_path):
    workspace = setup_modules["workspace"]
    built = {"pkg": workspace.fingerprint(make_package(tmp_path))}
    assert set(workspace.stale_packages(tmp_path, built)) == {"pkg"}


def test_the_wheels_of_a_distribution_are_its_own(setup_modules):
    requirements = setup_modules["requirements"]
    jazzy, kilted = requirements.ros_wheels(ROOT, "jazzy"), requirements.ros_wheels(ROOT, "kilted")
    assert all(name.startswith("ros-jazzy-") for name in jazzy) and all(name.startswith("ros-kilted-") for name in kilted)
    assert "ros-jazzy-python-cmake-module" in jazzy and "ros-kilted-python-cmake-module" not in kilted
    assert "ros-kilted-ament-cmake-ros-core" in kilted


def test_demo_needs_no_torch_and_training_does(setup_modules):
    requirements = setup_modules["requirements"]
    demo = requirements.build(ROOT) + requirements.extra(ROOT, "demo") + requirements.extra(ROOT, "test")
    assert not [name for name in demo if name.startswith(("torch", "onnxscript"))]
    assert "torch" in requirements.extra(ROOT, "train")
    assert requirements.pinned(ROOT, "torch").startswith("torch==")


def test_with_a_gpu_there_is_one_onnx_runtime_and_it_uses_it(setup_modules):
    requirements = setup_modules["requirements"]
    for name in ("demo", "train"):
        found = [line for line in requirements.extra(ROOT, name, gpu=True) if line.startswith("onnxruntime")]
        assert len(found) == 1 and found[0].startswith("onnxruntime-gpu")
        assert [line for line in requirements.extra(ROOT, name) if line.startswith("onnxruntime")] == ["onnxruntime"]


def test_no_version_is_written_twice(setup_modules):
    requirements = setup_modules["requirements"]
    listed = [*requirements.build(ROOT), *(line for name in ("demo", "train", "test") for line in requirements.extra(ROOT, name))]
    assert not [line for line in listed if any(sign in line for sign in "<>=")], "pins belong into constraints.txt"


def test_cuda_builds_are_recognised(setup_modules):
    cuda_packages = setup_modules["python_environment"].cuda_packages

    def report(*names):
        return {"install": [{"metadata": {"name": name}} for name in names]}

    assert cuda_packages(report("torch", "nvidia-cublas-cu12", "nvidia-cudnn-cu12")) == ["nvidia-cublas-cu12", "nvidia-cudnn-cu12"]
    assert cuda_packages(report("torch", "sympy", "networkx")) == []


def test_a_cuda_build_is_refused_without_a_gpu(setup_modules, tmp_path, monkeypatch):
    python_environment, progress_module = setup_modules["python_environment"], setup_modules["progress"]

    def pip_reports_cuda(self, command, env=None, cwd=None):
        assert "--dry-run" in command, "something was installed"
        Path(command[command.index("--report") + 1]).write_text(
            json.dumps({"install": [{"metadata": {"name": name}} for name in ("torch", "nvidia-cublas")]})
        )
        return ""

    monkeypatch.setattr(progress_module.Progress, "run", pip_reports_cuda)
    monkeypatch.setattr(python_environment, "has_gpu", lambda: False)
    monkeypatch.delenv("PROPHRL_TORCH_WHEEL", raising=False)
    ros = setup_modules["ros_environment"].Ros("jazzy", None)
    with pytest.raises(progress_module.SetupError, match="PROPHRL_TORCH_WHEEL") as error:
        python_environment.install_torch(ROOT, tmp_path / "venv", ros, progress_module.Progress(tmp_path / "log"))
    assert "\n" not in str(error.value)


def test_a_missing_system_package_without_rights_is_the_exact_command(setup_modules, tmp_path, monkeypatch):
    system_packages, progress_module = setup_modules["system_packages"], setup_modules["progress"]
    monkeypatch.setattr(system_packages, "_privilege", lambda: None)
    needs = [
        system_packages.Need("a C++ compiler", ("g++",), required=True),
        system_packages.Need("off-screen OpenGL", ("libegl1", "libgl1"), required=False),
    ]
    with pytest.raises(progress_module.SetupError, match=r"sudo apt-get install -y g\+\+ libegl1 libgl1$"):
        system_packages.install(needs, progress_module.Progress(tmp_path / "log"))
    system_packages.install(needs[1:], progress_module.Progress(tmp_path / "log"))


def test_a_sourced_ros_is_used_and_our_own_is_not_taken_for_one(setup_modules, tmp_path, monkeypatch):
    detect = setup_modules["ros_environment"].detect
    monkeypatch.delenv("PROPHRL_ROS", raising=False)
    for prefix in (tmp_path / "venv", tmp_path / "opt" / "jazzy"):
        (prefix / "share" / "rclpy").mkdir(parents=True)
        (prefix / "setup.bash").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "venv"))
    assert detect(tmp_path / "venv", None).from_wheels
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'venv'}:{tmp_path / 'opt' / 'jazzy'}")
    found = detect(tmp_path / "venv", None)
    assert (found.distro, found.prefix) == ("jazzy", tmp_path / "opt" / "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "")
    assert detect(tmp_path / "venv", str(tmp_path / "opt" / "jazzy")) == found, "a new shell keeps the ROS of the set-up"
    monkeypatch.setenv("PROPHRL_ROS", "humble")
    with pytest.raises(setup_modules["progress"].SetupError, match="jazzy, kilted"):
        detect(tmp_path / "venv", None)


def entered(command: str, **variables: str) -> str:
    script = f'. "{ROOT}/.venv/prophrl/env.sh" && . "{ROOT}/.venv/prophrl/env.sh" && {command}'
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/"} | variables
    run = subprocess.run(["sh", "-euc", script], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_entering_the_environment_is_enough_for_ros_and_entering_twice_changes_nothing():
    assert entered("python -c 'import rclpy, prophrl_interfaces.msg, prophrl_core, prophrl_training; print(1)'") == "1"
    path = entered("echo $PYTHONPATH").split(os.pathsep)
    assert len(path) == len(set(path))


def test_what_the_caller_has_set_stays():
    names = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE", "MUJOCO_GL")
    assert entered("echo " + " ".join(f"${name}" for name in names), **{name: "mine" for name in names}) == "mine mine mine"
    profile = entered("echo $FASTDDS_DEFAULT_PROFILES_FILE")
    assert Path(profile).is_file() and entered("echo $ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST"
    assert entered("echo $PYTHONPATH", PYTHONPATH="/somewhere/else").endswith(":/somewhere/else")
