"""Who has the arm: the deadman takes it, only its release (or somebody's word) gives it back."""

import pytest
from prophrl_cell.arm.control import Arbiter
from prophrl_core.cell import load_cell
from prophrl_core.config_path import find_config
from prophrl_core.errors import UserError


class Scene:
    """An arbiter at work at 125 Hz, with an operator's device at the same rate."""

    def __init__(self):
        self.arbiter, self.t = Arbiter(0.06), 10.0
        self.moved, self.turned_down = False, 0

    def pass_(self, seconds, deadman=None, allowed=True, usable=True, resting=True):
        for _ in range(round(seconds / 0.008)):
            self.t += 0.008
            if deadman is not None:
                self.arbiter.hear(deadman, usable, self.t)
            self.turned_down += self.arbiter.decide(self.t, allowed, resting)
            self.moved = allowed and self.arbiter.held(self.t)
        return self


@pytest.fixture
def scene():
    return Scene()


def test_pressing_takes_the_arm_and_releasing_gives_it_back_once_it_rests(scene):
    assert not scene.arbiter.refuses(scene.t)
    scene.pass_(0.1, deadman=True)
    assert scene.moved and scene.arbiter.teleop and scene.arbiter.refuses(scene.t)
    scene.pass_(0.1, deadman=False, resting=False)
    assert not scene.moved and scene.arbiter.teleop
    before = scene.t
    scene.pass_(0.008, deadman=False)
    assert not scene.arbiter.teleop
    assert scene.arbiter.refuses(before - 0.001) and not scene.arbiter.refuses(scene.t + 0.001)


def test_silence_stops_within_the_timeout_and_lets_nobody_else_have_the_arm(scene):
    scene.pass_(0.1, deadman=True).pass_(0.056)
    assert scene.moved
    scene.pass_(0.016)
    assert not scene.moved
    scene.pass_(5.0)
    assert scene.arbiter.teleop
    scene.arbiter.give_back(scene.t)
    assert not scene.arbiter.teleop and not scene.arbiter.refuses(scene.t)
    scene.pass_(0.05, deadman=True)
    assert scene.moved


def test_an_unusable_command_stops_the_arm_until_the_next_good_one(scene):
    scene.pass_(0.1, deadman=True).pass_(0.008, deadman=True, usable=False)
    assert not scene.moved and scene.arbiter.teleop
    scene.pass_(0.008, deadman=True)
    assert scene.moved


def test_an_arm_that_may_not_move_turns_the_press_down_once_until_it_is_released(scene):
    scene.pass_(0.1, deadman=True).pass_(0.5, deadman=True, allowed=False)
    assert not scene.moved and not scene.arbiter.teleop and scene.turned_down == 1
    scene.pass_(0.5, deadman=True)
    assert not scene.moved and not scene.arbiter.teleop
    scene.pass_(0.008, deadman=False).pass_(0.008, deadman=True)
    assert scene.moved and scene.turned_down == 1


def test_others_are_told_once_per_intervention(scene):
    for _ in range(2):
        scene.pass_(0.1, deadman=True)
        assert [scene.arbiter.tell() for _ in range(3)] == [True, False, False]
        scene.pass_(0.1, deadman=False)


@pytest.mark.parametrize("timeout", ["0.0", "-1.0", "2.0", ".nan"])
def test_a_cell_without_a_sensible_timeout_is_refused(tmp_path, timeout):
    text = find_config("cells", "sim").read_text().replace("envelope:", f"envelope:\n  teleop_timeout: {timeout}")
    path = tmp_path / "cell.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="teleop_timeout"):
        load_cell(path)
