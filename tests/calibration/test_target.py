"""Pictures of the target: corners to a tenth of a pixel, and a name for every kind of bad picture."""

import re

import cv2
import numpy as np
import pytest
from calibration.synthetic_views import CAMERA, TARGET
from prophrl_calibration.detection import BadPicture, Fault, detect
from prophrl_calibration.drawing import Sensor, photograph
from prophrl_calibration.target import Target
from prophrl_calibration.target_pdf import rectangles, write_pdf
from prophrl_core import se3
from prophrl_core.errors import UserError

T_CAMERA_TARGET = se3.transform(se3.rotvec_to_matrix(np.array([0.3, -0.2, 0.1])), np.array([-0.1, -0.08, 0.6]))


def picture(target: Target = TARGET, sensor: Sensor = Sensor(), T=T_CAMERA_TARGET) -> np.ndarray:
    return photograph(target, T, CAMERA, sensor, np.random.default_rng(0))


@pytest.mark.parametrize("sensor", [Sensor(3.0), Sensor(3.0, blur=1.0)])
def test_corners_are_found_to_a_tenth_of_a_pixel(sensor):
    corners = detect(picture(sensor=sensor), TARGET)
    true, _ = CAMERA.project(TARGET.corners_N3[corners.ids] @ T_CAMERA_TARGET[:3, :3].T + T_CAMERA_TARGET[:3, 3])
    assert len(corners.ids) >= 20
    assert np.sqrt(np.mean((corners.pixels - true) ** 2)) < 0.1


def bad_pictures():
    return {
        Fault.NOT_FOUND: np.full((480, 640), 90, np.uint8),
        Fault.MIRRORED: cv2.flip(picture(), 1),
        Fault.WRONG_DICTIONARY: picture(Target(dictionary="DICT_4X4_50")),
        Fault.WRONG_LAYOUT: picture(Target(columns=9, rows=6, square=0.024, marker=0.018)),
        Fault.TOO_FEW: picture(T=T_CAMERA_TARGET @ se3.transform(np.eye(3), np.array([-0.36, 0.0, 0.0]))),
    }


@pytest.mark.parametrize("fault", bad_pictures())
def test_a_bad_picture_is_named(fault):
    with pytest.raises(BadPicture) as bad:
        detect(bad_pictures()[fault], TARGET)
    assert bad.value.fault is fault, str(bad.value)


def test_the_pdf_has_the_board_at_true_scale(tmp_path):
    width, height = write_pdf(TARGET, tmp_path / "board.pdf")
    box = re.search(rb"/MediaBox \[ ?0 0 ([0-9.]+) ([0-9.]+) ?\]", (tmp_path / "board.pdf").read_bytes())
    assert [float(v) * 0.0254 / 72 for v in box.groups()] == pytest.approx([width, height], abs=1e-5)
    drawn = np.full((5 * 44, 7 * 44), 255, np.uint8)
    scale = 44 / TARGET.square
    for x, y, w, h in rectangles(TARGET):
        drawn[round(y * scale) : round((y + h) * scale), round(x * scale) : round((x + w) * scale)] = 0
    assert len(detect(np.pad(drawn, 40, constant_values=255), TARGET).ids) == 24


@pytest.mark.parametrize("wrong", [{"square": 30.0}, {"marker": 0.05}, {"columns": 2}, {"dictionary": "DICT_9X9"}])
def test_a_description_that_cannot_be_is_refused_in_one_line(wrong):
    with pytest.raises(UserError, match="expected") as refusal:
        Target(**wrong)
    assert "\n" not in str(refusal.value)
