import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prophrl_core import action, se3
from prophrl_core.camera import CameraModel, look_at
from scipy.spatial.transform import Rotation

vectors = st.lists(st.floats(-1.8, 1.8), min_size=3, max_size=3).map(np.array)


@given(vectors)
def test_rotations_agree_with_scipy(rotvec):
    R = se3.rotvec_to_matrix(rotvec)
    np.testing.assert_allclose(R, Rotation.from_rotvec(rotvec).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(se3.matrix_from_quat(se3.quat_xyzw(R)), R, atol=1e-12)
    np.testing.assert_allclose(se3.rotvec_to_matrix(se3.matrix_to_rotvec(R)), R, atol=1e-9)


def test_half_turns_survive():
    for axis in np.eye(3):
        R = se3.rotvec_to_matrix(np.pi * axis)
        np.testing.assert_allclose(se3.rotvec_to_matrix(se3.matrix_to_rotvec(R)), R, atol=1e-12)


def test_broadcasting_equals_one_by_one():
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(2, 3, 6))
    T = se3.pose_from_rotvec(poses)
    np.testing.assert_allclose(T[1, 2], se3.pose_from_rotvec(poses[1, 2]), atol=1e-15)
    np.testing.assert_allclose(se3.inverse(T) @ T, np.broadcast_to(np.eye(4), T.shape), atol=1e-12)


@given(vectors, vectors, vectors)
def test_delta_inverts_integrate(position, turn, step):
    start = se3.pose_from_rotvec(np.concatenate([position, turn]))
    actions = np.concatenate([np.tile(np.concatenate([step * 0.1, turn * 0.1]), (5, 1)), np.ones((5, 1))], axis=1)
    poses, _ = action.integrate(start, actions)
    previous = start
    for T, a in zip(poses, actions):
        np.testing.assert_allclose(action.delta(previous, T, 1.0), a, atol=1e-9)
        previous = T


def test_spec_id_changes_with_the_meaning():
    assert action.ActionSpec().id == "ddffbccf662c80a7", "bundles and episodes on disk bear it"
    assert action.ActionSpec().id != action.ActionSpec(rate_hz=5.0).id


def test_projection_round_trip_with_distortion():
    camera = CameraModel(640, 480, 610.0, 612.0, 318.0, 242.0, (0.1, -0.2, 0.001, -0.002, 0.05))
    points = np.random.default_rng(0).uniform([-0.3, -0.2, 0.5], [0.3, 0.2, 1.5], (50, 3))
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(camera.back_project(pixels, depth), points, atol=1e-8)
    assert np.isnan(camera.project(np.array([0.0, 0.0, -1.0]))[0]).all()


def test_look_at_centres_its_target_and_keeps_up_upright():
    T = look_at([1.0, 0.2, 0.7], [0.5, 0.0, 0.0])
    camera = CameraModel(640, 480, 600.0, 600.0, 319.5, 239.5)
    inside = se3.inverse(T)
    pixels, _ = camera.project((inside @ [0.5, 0.0, 0.0, 1.0])[:3])
    np.testing.assert_allclose(pixels, [319.5, 239.5], atol=1e-9)
    above, _ = camera.project((inside @ [0.5, 0.0, 0.1, 1.0])[:3])
    assert above[1] < 239.5


def test_a_cropped_camera_sees_the_same_point_that_many_pixels_further():
    whole = CameraModel(640, 480, 615.0, 610.0, 319.5, 239.5, (0.1, -0.05, 0.001, 0.002, 0.0))
    point = np.array([0.1, -0.05, 0.9])
    part = whole.cropped(80, 20, 480, 400)
    np.testing.assert_allclose(part.project(point)[0], whole.project(point)[0] - [80, 20])
    assert (part.width, part.height) == (480, 400)
