"""The parsers behind every port take anything and never crash."""

import select
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prophrl_sim.controller import rtde_protocol as rtde
from prophrl_sim.controller.dashboard import Dashboard
from prophrl_sim.controller.robot_state import RobotState
from prophrl_sim.controller.urscript import ControlScript, Pose, ScriptError, parse_program
from prophrl_sim.faults import FaultError, FaultRequest

packages = st.lists(st.tuples(st.sampled_from(sorted(rtde.PACKAGE_TYPES)), st.binary(max_size=200)), max_size=6)


@given(packages, st.data())
def test_packages_survive_any_cutting(wanted, data):
    stream = b"".join(rtde.package(kind, payload) for kind, payload in wanted)
    buffer, got = bytearray(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        buffer += stream[:cut]
        stream = stream[cut:]
        got += rtde.split_packages(buffer)
    assert got == wanted and not buffer


@given(st.binary(max_size=600))
def test_noise_is_refused_or_left_waiting(noise):
    buffer = bytearray(noise)
    try:
        for kind, payload in rtde.split_packages(buffer):
            assert kind in rtde.PACKAGE_TYPES and len(payload) <= rtde.MAX_PACKAGE
    except rtde.ProtocolError:
        return
    assert len(buffer) < rtde.MAX_PACKAGE


@given(st.lists(st.sampled_from(sorted(rtde.INPUT_TYPES)), min_size=1, max_size=20, unique=True), st.binary(max_size=400))
def test_a_recipe_takes_exactly_its_own_length(names, payload):
    recipe = rtde.Recipe.build(1, tuple(names), rtde.INPUT_TYPES)
    if len(payload) != recipe.layout.size:
        with pytest.raises(rtde.ProtocolError):
            recipe.parse(payload)
    payload = payload.ljust(recipe.layout.size, b"\0")[: recipe.layout.size]
    fields = recipe.parse(payload)
    assert [name for name, _ in fields] == names


def test_a_data_package_as_the_guide_lays_it_out():
    recipe = rtde.Recipe.build(3, ("timestamp", "robot_mode", "actual_q"), rtde.OUTPUT_TYPES)
    package = recipe.package((1.5, 7, 1, 2, 3, 4, 5, 6))
    assert package == struct.pack(">HBBdi6d", 4 + 8 + 4 + 48, ord("U"), 3, 1.5, 7, 1, 2, 3, 4, 5, 6)


@given(st.binary(max_size=100))
def test_output_setups(payload):
    try:
        frequency, names = rtde.parse_output_setup(payload)
    except rtde.ProtocolError:
        return
    assert isinstance(frequency, float) and all(names)


@given(st.text(max_size=300))
def test_any_text_as_a_program(text):
    try:
        parse_program(text)
    except ScriptError:
        pass


def test_what_is_read_from_a_control_script():
    script = (
        "def rtde_control():\n    global reg_offset_float = # float register offset\n24"
        "    global reg_offset_int = # int register offset\n24    def exec_move_path():\n"
        "\tsignal_async_progress(0)\n\tmovej([0.1,-1.5,0,0,0,0],a=1.4,v=1.05,r=0)\n"
        "\tmovel(p[0.5,0,0.3,0,3.14,0],a=1.2,v=0.25,r=0)\n    end\n"
        "            if cmd == 24 or cmd == 11 or cmd == 9:\n                x()\nend\n"
    )
    read = parse_program(script)
    assert isinstance(read, ControlScript)
    assert (read.register_offset, read.realtime_commands) == (24, {24, 11, 9})
    assert [s.name for s in read.path] == ["signal_async_progress", "movej", "movel"]
    assert read.path[1].kwargs == {"a": 1.4, "v": 1.05, "r": 0}
    assert read.path[2].args == [Pose([0.5, 0, 0.3, 0, 3.14, 0])] and isinstance(read.path[2].args[0], Pose)


@pytest.mark.parametrize("text", ["while True:\n", "import os\n", "movej(__import__('os'))\n", "x = 3\n", "f(" * 5000])
def test_programs_beyond_the_emulator_are_refused(text):
    with pytest.raises(ScriptError):
        parse_program(text)


@given(st.text(max_size=120))
def test_the_dashboard_answers_everything_in_one_line(text):
    dashboard = Dashboard(select.epoll(), "127.0.0.1", RobotState(), "UR30")
    answer = dashboard.answer(text.strip())
    assert answer and "\n" not in answer


@given(st.dictionaries(st.sampled_from(["kind", "seconds", "rate"]), st.one_of(st.none(), st.floats(), st.text(max_size=9))))
def test_fault_requests_are_checked(message):
    try:
        request = FaultRequest.parse(message)
    except FaultError:
        return
    assert 0.0 <= request.seconds <= 3600.0 and 0.0 <= request.rate <= 1.0
