"""``prophrl calibrate hand-eye`` over the real nodes on a simulated cell, against a truth that it does not see."""

import re
import sys

from prophrl_core.cell import load_cell


def test_hand_eye_finds_the_camera_and_writes_it_into_a_cell_file(process, ros_domain, loopback_ip, tmp_path):
    command = [
        sys.executable,
        "-m",
        "prophrl_bringup.cli",
        "calibrate",
        "hand-eye",
        "--cell",
        "sim",
        "--poses",
        "7",
        "--yes",
    ]
    run = process([*command, "--robot-ip", loopback_ip, "--run", tmp_path / "run", "--seed", "3"], name="hand-eye")
    assert run.wait(150) == 0, run.output()
    off = re.search(r"simulated truth: ([0-9.]+) mm and ([0-9.]+) deg away", run.output())
    assert float(off[1]) < 0.5 and float(off[2]) < 0.05, run.output()
    camera = load_cell(tmp_path / "run" / "cell.yaml").camera("front")
    assert camera.calibration.views >= 6 and camera.calibration.hash in run.output()
    assert (tmp_path / "run" / "overlay.png").stat().st_size > 10_000
