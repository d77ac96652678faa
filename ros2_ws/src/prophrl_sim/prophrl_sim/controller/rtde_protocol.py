"""The RTDE wire format, protocol version 2: framing, field types, recipes. No sockets, no state.

A package is ``uint16 size, uint8 type, payload`` with every number big-endian; ``size`` counts the
three header bytes. Source: Universal Robots, "Real-Time Data Exchange (RTDE) Guide".
"""

import struct
from dataclasses import dataclass

REQUEST_PROTOCOL_VERSION = ord("V")
GET_URCONTROL_VERSION = ord("v")
TEXT_MESSAGE = ord("M")
DATA_PACKAGE = ord("U")
SETUP_OUTPUTS = ord("O")
SETUP_INPUTS = ord("I")
START = ord("S")
PAUSE = ord("P")
PACKAGE_TYPES = frozenset(b"VvMUOISP")

HEADER = struct.Struct(">HB")
MAX_PACKAGE = 4096
MAX_FIELDS = 256

FIELD_FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT32": "I",
    "UINT64": "Q",
    "INT32": "i",
    "DOUBLE": "d",
    "VECTOR3D": "3d",
    "VECTOR6D": "6d",
    "VECTOR6INT32": "6i",
    "VECTOR6UINT32": "6I",
}


class ProtocolError(ValueError):
    """What arrived is not RTDE; the connection that sent it is not worth keeping."""


def _outputs() -> dict[str, str]:
    fields = {"timestamp": "DOUBLE"}
    for name in (
        "target_q target_qd target_qdd target_current target_moment actual_q actual_qd actual_current "
        "actual_current_window actual_current_as_torque joint_control_output actual_TCP_pose actual_TCP_speed "
        "actual_TCP_force target_TCP_pose target_TCP_speed joint_temperatures actual_joint_voltage payload_inertia "
        "ft_raw_wrench tcp_offset"
    ).split():
        fields[name] = "VECTOR6D"
    for name in "actual_tool_accelerometer elbow_position elbow_velocity payload_cog".split():
        fields[name] = "VECTOR3D"
    for name in (
        "actual_execution_time speed_scaling target_speed_fraction actual_momentum actual_main_voltage "
        "actual_robot_voltage actual_robot_current standard_analog_input0 standard_analog_input1 "
        "standard_analog_output0 standard_analog_output1 io_current tool_analog_input0 tool_analog_input1 "
        "tool_output_current tool_temperature tcp_force_scalar payload joint_position_deviation_ratio "
        "collision_detection_ratio"
    ).split():
        fields[name] = "DOUBLE"
    for name in "actual_digital_input_bits actual_digital_output_bits".split():
        fields[name] = "UINT64"
    for name in "robot_mode safety_mode safety_status tool_output_voltage time_scale_source".split():
        fields[name] = "INT32"
    for name in (
        "runtime_state robot_status_bits safety_status_bits analog_io_types tool_mode tool_analog_input_types "
        "script_control_line output_bit_registers0_to_31 output_bit_registers32_to_63"
    ).split():
        fields[name] = "UINT32"
    for name in "tool_output_mode tool_digital_output0_mode tool_digital_output1_mode".split():
        fields[name] = "UINT8"
    fields["joint_mode"] = "VECTOR6INT32"
    return fields


def _registers(direction: str) -> dict[str, str]:
    return (
        {f"{direction}_bit_register_{i}": "BOOL" for i in range(64, 128)}
        | {f"{direction}_int_register_{i}": "INT32" for i in range(48)}
        | {f"{direction}_double_register_{i}": "DOUBLE" for i in range(48)}
    )


def _inputs() -> dict[str, str]:
    fields = {
        "speed_slider_mask": "UINT32",
        "speed_slider_fraction": "DOUBLE",
        "standard_analog_output_0": "DOUBLE",
        "standard_analog_output_1": "DOUBLE",
        "input_bit_registers0_to_31": "UINT32",
        "input_bit_registers32_to_63": "UINT32",
        "external_force_torque": "VECTOR6D",
    }
    for name in "standard_digital configurable_digital tool_digital".split():
        fields[f"{name}_output_mask"] = fields[f"{name}_output"] = "UINT8"
    fields["standard_analog_output_mask"] = fields["standard_analog_output_type"] = "UINT8"
    return fields | _registers("input")


INPUT_TYPES = _inputs()
OUTPUT_TYPES = _outputs() | _registers("output") | _registers("input")


@dataclass(frozen=True)
class Recipe:
    """An agreed list of fields, packed and parsed by one precompiled struct.

    ``widths`` says how many numbers each field takes, so that a data package can be cut back into fields.
    """

    id: int
    names: tuple[str, ...]
    types: tuple[str, ...]
    layout: struct.Struct
    widths: tuple[int, ...]

    @classmethod
    def build(cls, recipe_id: int, names: tuple[str, ...], table: dict[str, str]) -> "Recipe":
        types = tuple(table[name] for name in names)
        layout = struct.Struct(">" + "".join(FIELD_FORMATS[t] for t in types))
        return cls(recipe_id, names, types, layout, tuple(_width(t) for t in types))

    def parse(self, payload: bytes) -> list[tuple[str, tuple]]:
        """Payload after the recipe id -> [(field, numbers)]. Raises ProtocolError on a wrong length."""
        if len(payload) != self.layout.size:
            raise ProtocolError(f"recipe {self.id} takes {self.layout.size} bytes, got {len(payload)}")
        numbers = self.layout.unpack(payload)
        fields, start = [], 0
        for name, width in zip(self.names, self.widths, strict=True):
            fields.append((name, numbers[start : start + width]))
            start += width
        return fields

    def package(self, numbers: tuple) -> bytes:
        """All fields' numbers in order -> a whole data package."""
        return HEADER.pack(4 + self.layout.size, DATA_PACKAGE) + bytes((self.id,)) + self.layout.pack(*numbers)


def empty_value(field_type: str) -> tuple:
    """The numbers of a field that nothing has written yet."""
    return ((0.0 if FIELD_FORMATS[field_type].endswith("d") else 0),) * _width(field_type)


def _width(field_type: str) -> int:
    digits = FIELD_FORMATS[field_type][:-1]
    return int(digits) if digits else 1


def package(kind: int, payload: bytes) -> bytes:
    return HEADER.pack(3 + len(payload), kind) + payload


def split_packages(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Take every whole package out of ``buffer`` (in place). Raises ProtocolError on an impossible header."""
    packages = []
    start = 0
    while len(buffer) - start >= 3:
        size, kind = HEADER.unpack_from(buffer, start)
        if not 3 <= size <= MAX_PACKAGE or kind not in PACKAGE_TYPES:
            raise ProtocolError(f"package of type {kind} and {size} bytes")
        if len(buffer) - start < size:
            break
        packages.append((kind, bytes(buffer[start + 3 : start + size])))
        start += size
    del buffer[:start]
    return packages


def field_names(text: bytes) -> tuple[str, ...]:
    """Comma-separated names (a trailing comma allowed) -> names. Raises ProtocolError on non-ASCII or too many."""
    if not text.isascii():
        raise ProtocolError("field names are not ASCII")
    names = tuple(name for name in text.decode("ascii").split(",") if name)
    if len(names) > MAX_FIELDS:
        raise ProtocolError(f"{len(names)} fields in one recipe, at most {MAX_FIELDS}")
    return names


def parse_output_setup(payload: bytes) -> tuple[float, tuple[str, ...]]:
    """Payload of SETUP_OUTPUTS -> (frequency in Hz, names)."""
    if len(payload) < 8:
        raise ProtocolError(f"output set-up of {len(payload)} bytes has no frequency")
    return struct.unpack_from(">d", payload)[0], field_names(payload[8:])
