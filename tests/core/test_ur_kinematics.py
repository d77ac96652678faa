import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophrl_core import ur_kinematics as kin

# Stretched arms and straight wrists, exact and nearly, are what an inverse gets wrong.
singular = st.sampled_from([0.0, 1e-9, 1e-8, -1e-7, 1e-6, 1e-5, np.pi - 1e-7])
joints = st.lists(st.floats(-3.1, 3.1) | singular, min_size=6, max_size=6).map(np.array)


@pytest.mark.parametrize("name", sorted(kin.UR_MODELS))
@settings(max_examples=150, deadline=None)
@given(q=joints)
def test_inverse_reaches_the_pose_and_contains_the_joints(name, q):
    model = kin.UR_MODELS[name]
    T = kin.forward(model, q)
    solutions = kin.inverse(model, T, q6_if_free=q[5])
    assert len(solutions)
    for s in solutions:
        np.testing.assert_allclose(kin.forward(model, s), T, atol=2e-6)
    if abs(np.sin(q[4])) > 1e-3 and abs(np.sin(q[2])) > 1e-3:
        difference = (solutions - q + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(difference).max(axis=1).min() < 1e-5


def test_published_home_poses_of_the_ur30():
    """At zero the arm lies along -x: a2 + a3 out, d4 + d6 to the side, d1 - d5 high (DH table by hand)."""
    T = kin.forward(kin.UR_MODELS["ur30"], np.zeros(6))
    np.testing.assert_allclose(T[:3, 3], [-0.637 - 0.5037, -(0.2010 + 0.1543), 0.2363 - 0.1593], atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(q=joints)
def test_jacobian_is_the_derivative_of_forward(q):
    model, h = kin.UR_MODELS["ur30"], 1e-6
    J = kin.jacobian(model, q)
    for i in range(6):
        step = np.zeros(6)
        step[i] = h
        plus, minus = kin.forward(model, q + step), kin.forward(model, q - step)
        np.testing.assert_allclose((plus[:3, 3] - minus[:3, 3]) / (2 * h), J[:3, i], atol=1e-6)
        spin = (plus[:3, :3] - minus[:3, :3]) / (2 * h) @ kin.forward(model, q)[:3, :3].T
        np.testing.assert_allclose([spin[2, 1], spin[0, 2], spin[1, 0]], J[3:, i], atol=1e-6)


def test_nearest_inverse_keeps_the_turn_and_the_branch():
    model = kin.UR_MODELS["ur30"]
    q = np.array([5.9, -1.8, 1.9, -1.7, -1.57, -4.0])
    found = kin.nearest_inverse(model, kin.forward(model, q), q + 0.01)
    np.testing.assert_allclose(found, q, atol=1e-6)


def test_unreachable_pose_has_no_solution():
    model = kin.UR_MODELS["ur30"]
    T = np.eye(4)
    T[:3, 3] = [3.0, 0.0, 0.5]
    assert len(kin.inverse(model, T)) == 0
    assert kin.nearest_inverse(model, T, np.zeros(6)) is None
