"""``prophrl calibrate hand-eye``: where a camera is, from pictures of a board that the arm shows it or looks at."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

HELP = (
    "find a camera's pose: poses are proposed and shown, taken slowly on your word, the result goes into the cell file"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from prophrl_bringup.calibrate import arguments as common

    common.add_cell(parser)
    parser.add_argument(
        "--mount",
        default="",
        choices=("", "eye_to_hand", "eye_in_hand"),
        help="camera beside the arm or on the tool (default: as the cell says)",
    )
    parser.add_argument("--poses", type=int, default=20, help="pictures to take (default: 20)")
    common.add_board(parser)
    parser.add_argument(
        "--out", type=Path, help="cell file that gets the result (default: the cell's own; simulated: run folder)"
    )
    parser.add_argument("--force", action="store_true", help="write even over a better calibration")
    parser.add_argument(
        "--tcp-board", type=float, nargs=6, metavar=("X", "Y", "Z", "RX", "RY", "RZ"),
        help="pose of the board in the TCP's frame, where the tool is made so: the TCP offset is measured, too",
    )  # fmt: skip
    common.add_simulation(parser)


def run(arguments: argparse.Namespace) -> int:
    import numpy as np
    from prophrl_calibration import cell_file, hand_eye, overlay, proposals, way
    from prophrl_calibration.views import Mount, Problem
    from prophrl_core import se3
    from prophrl_core.cell import load_cell

    from prophrl_bringup.calibrate import arguments as common
    from prophrl_bringup.calibrate import board_tour, pictures

    asked = board_tour.prepare(arguments, arguments.mount)
    cell, camera, mount, target, folder = asked.cell, asked.camera, asked.mount, asked.target, asked.folder
    search = proposals.Search(poses=arguments.poses)
    poses, pace = proposals.propose(asked.envelope, asked.home, asked.nominal, search, arguments.seed), way.Pace()
    asked.show_and_ask(poses, pace)

    with asked.station() as station:
        station.begin()
        off = station.nominal_kinematics_error()
        if off > 5e-4:
            print(
                f"prophrl: warning: the arm's own calibration puts the TCP {1e3 * off:.1f} mm from the nominal "
                "kinematics in use; errors of that size stay in every pose"
            )
        taken = pictures.tour(station, camera, asked.nominal, poses, pace)
        model = station.camera_model()
        station.end()
        problem = Problem(mount, target, model, tuple(t.view for t in taken))
        outcome = hand_eye.calibrate(problem, cell, camera)
        truth = (
            station.control.request("camera", name=camera)["T_parent_camera"] if station.control is not None else None
        )

    joints = np.array([t.q for t in taken])
    record = hand_eye.record(outcome, joints, datetime.datetime.now(datetime.timezone.utc))
    print(report(outcome, record), flush=True)
    if arguments.tcp_board is not None:
        T_tool0_tcp, radius = hand_eye.measured_tcp(outcome, se3.pose_from_rotvec(np.array(arguments.tcp_board)))
        tcp = ", ".join(f"{v:.5f}" for v in se3.pose_to_rotvec(T_tool0_tcp))
        print(f"robot.tcp measured: [{tcp}], within {1e3 * radius[0]:.2f} mm and {np.degrees(radius[1]):.3f} deg")
    if truth is not None:
        T = se3.pose_from_rotvec(np.array(truth))
        d = se3.inverse(T) @ outcome.solution.X
        print(f"simulated truth: {1e3 * np.linalg.norm(d[:3, 3]):.3f} mm and "
              f"{np.degrees(se3.rotation_angle(d[:3, :3])):.4f} deg away (not used above)")  # fmt: skip
    tiles = []
    for t, M in zip(taken, problem.M_N44):
        tile, T_camera_target = t.pixels.copy(), se3.inverse(outcome.solution.X) @ M @ outcome.solution.Y
        overlay.draw_outline(tile, target, T_camera_target, model)
        T_base_camera = outcome.solution.X if mount is Mount.EYE_TO_HAND else t.view.T_base_tool0 @ outcome.solution.X
        T_camera_tcp = overlay.seen(T_base_camera, t.view.T_base_tool0 @ asked.envelope.T_tool0_tcp)
        overlay.draw_gripper(tile, T_camera_tcp, model, cell.gripper.stroke)
        overlay.draw_axes(tile, T_camera_tcp, model, 0.06, t.view.name)
        overlay.draw_axes(tile, overlay.seen(T_base_camera, np.eye(4)), model, 0.2, "base")
        tiles.append(tile)
    pictures.save(folder / "overlay.png", overlay.page(tiles))
    path = common.cell_path(arguments, arguments.out, folder)
    cell_file.check_better(load_cell(path).camera(camera), record, arguments.force)
    key = "T_base_camera" if mount is Mount.EYE_TO_HAND else "T_tool0_camera"
    cell_file.write_calibration(path, camera, key, hand_eye.pose(outcome), record)
    print(f"camera {camera}: {key} and its calibration {record.hash} are in {path}; look at {folder / 'overlay.png'}")
    return 0


def report(outcome, record) -> str:
    """What the operator reads."""
    lines = [
        f"within {record.within_mm:.2f} mm and {record.within_deg:.3f} deg (nine times in ten)",
        f"held-out residuals {record.held_out_mm:.2f} mm and {record.held_out_deg:.3f} deg; reprojection "
        f"{record.reprojection_px:.2f} px",
        f"{record.views} views used, pose diversity {record.diversity:.2f} of 1",
    ]
    if outcome.dropped:
        lines.append(f"left out because they do not fit: {', '.join(outcome.dropped)}")
    if outcome.diversity.advice:
        lines.append(f"for more certainty: {outcome.diversity.advice}")
    return "\n".join(lines)
