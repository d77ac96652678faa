"""Action frames against closed forms: where, how large, what colour, at the border and behind the camera."""

import dataclasses

import numpy as np
import pytest
import torch
from prophrl_core import se3
from prophrl_core.camera import CameraModel
from prophrl_world_model.action_frames import ActionFrameStyle, folded, render

CAMERA = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5)
DISC = ActionFrameStyle(axis_length=0.0, axis_width=0.0, disc_radius=0.05)


def at(*position, rotvec=(0.0, 0.0, 0.0)):
    return se3.pose_from_rotvec(np.array([*position, *rotvec]))


def draw(poses, openness, style=ActionFrameStyle(), camera=CAMERA, T_base_camera=np.eye(4)):
    poses = np.asarray(poses)
    return (
        render(camera, T_base_camera, poses[:, None], np.asarray(openness)[:, None], style).numpy().astype(float) / 255
    )


def area_and_centre(frame_HW3):
    weight = frame_HW3.max(-1)
    v, u = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return weight.sum(), np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


def test_the_disc_is_where_the_camera_sees_the_tcp_and_shrinks_with_depth():
    T_base_camera = se3.pose_from_rotvec(np.array([0.3, -0.2, 0.1, 0.4, -0.3, 0.2]))
    for position in ([0.0, 0.0, 0.5], [0.05, -0.03, 0.6], [-0.1, 0.05, 0.9]):
        frame = draw([T_base_camera @ at(*position)], [0.0], DISC, T_base_camera=T_base_camera)[0]
        area, centre = area_and_centre(frame)
        radius = 60.0 * 0.05 / position[2]
        assert area == pytest.approx(np.pi * radius**2, rel=0.03)
        np.testing.assert_allclose(centre, CAMERA.project(np.array(position))[0], atol=0.03)


def test_colour_tells_openness_and_axes():
    closed, half, opened = draw([at(0, 0, 0.5)] * 3, [0.0, 0.5, 1.0], DISC)[:, 23, 31]
    np.testing.assert_allclose([closed, half, opened], [(1, 1, 0), (0.5, 1, 0.5), (0, 1, 1)], atol=0.01)
    style = dataclasses.replace(ActionFrameStyle(), disc_radius=0.0)
    frame = draw([at(0, 0, 0.5)], [0.0], style)[0]
    tip = 60 * style.axis_length / 0.5
    assert np.argmax(frame[23, round(31.5 + tip * 0.7)]) == 0, "x to the right in red"
    assert np.argmax(frame[round(23.5 + tip * 0.7), 31]) == 1, "y down in green"
    red = frame[..., 0].sum()
    assert red == pytest.approx(
        tip * 60 * style.axis_width / 0.5 + np.pi * (30 * style.axis_width / 0.5) ** 2, rel=0.15
    )


def test_what_leaves_the_image_is_cut_at_its_border():
    """A small camera's picture is the crop of a large camera's, wherever the TCP is."""
    large = CameraModel(192, 144, 60.0, 60.0, 31.5 + 64, 23.5 + 48)
    positions = [(x, y, 0.4) for x in (-0.4, -0.22, 0.0, 0.215, 0.5) for y in (-0.3, 0.16)]
    poses = [at(*p, rotvec=(0.5, 0.9, -0.4)) for p in positions]
    small, big = draw(poses, [0.3] * len(poses)), draw(poses, [0.3] * len(poses), camera=large)
    np.testing.assert_array_equal(small, big[:, 48:96, 64:128])
    assert 0 < (small.max((1, 2, 3)) > 0).sum() < len(poses), "some are inside, some outside"


def test_behind_the_camera_nothing_is_drawn_and_axes_that_reach_in_front_are_cut_at_the_plane():
    assert draw([at(0, 0, -0.5)], [1.0]).max() == 0
    assert draw([at(0, 0, 0.0)], [1.0], DISC).max() == 0
    # The TCP is behind, its z axis points to the front and to the right: what is drawn runs out of the image.
    style = dataclasses.replace(ActionFrameStyle(), axis_length=0.4, axis_width=0.01)
    frame = draw([at(0.0, 0.0, -0.1, rotvec=(0.0, 0.2, 0.0))], [0.5], style)[0]
    assert frame[..., 2].sum() > 5 and frame[..., 0].sum() == 0
    _, u = np.nonzero(frame[..., 2] > 0.5)
    tip = CAMERA.project(np.array([0.4 * np.sin(0.2), 0.0, -0.1 + 0.4 * np.cos(0.2)]))[0]
    assert u.min() == pytest.approx(tip[0], abs=3) and u.max() == CAMERA.width - 1


def test_nearer_things_cover_farther_ones_whichever_arm_they_belong_to():
    poses = np.stack([at(0, 0, 0.5), at(0, 0, 0.8)])
    style = dataclasses.replace(DISC, further_arms=0.5)
    for order in ([0, 1], [1, 0]):
        frame = render(CAMERA, np.eye(4), poses[None, order], np.zeros((1, 2)), style).numpy()[0]
        assert frame[23, 31, 0] == (255 if order[0] == 0 else 128)


def test_a_folded_frame_keeps_every_pixel_at_its_place_and_time():
    frames = torch.randint(0, 256, (2, 9, 8, 12, 3), dtype=torch.uint8)
    x = folded(frames, 2)
    assert x.shape == (2, 48, 3, 4, 6)
    channels = x.unflatten(1, (3, 4, 2, 2)) * 255
    for frame, row, column in [(1, 0, 0), (4, 3, 5), (5, 7, 11), (8, 6, 1)]:
        place = channels[:, :, (frame - 1) % 4, row % 2, column % 2, (frame + 3) // 4, row // 2, column // 2]
        torch.testing.assert_close(place, frames[:, frame, row, column].float())
    assert torch.equal(channels[:, :, 0, :, :, 0], channels[:, :, 3, :, :, 0])


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        draw([np.full((4, 4), np.nan)], [0.0])
    with pytest.raises(ValueError, match="expected poses"):
        render(CAMERA, np.eye(4), np.eye(4)[None], np.zeros(1))
