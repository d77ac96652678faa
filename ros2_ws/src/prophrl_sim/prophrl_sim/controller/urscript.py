"""What the emulator reads out of an uploaded URScript program. It is no interpreter.

Two kinds of program are understood: ur_rtde's control script (register offset, set of realtime commands,
an injected path of moves) and straight-line programs of moves, stops, sleeps and settings.
"""

import ast
import re
from dataclasses import dataclass, field

MAX_PROGRAM = 1 << 20
_LARGEST = 1e9
_OFFSET = re.compile(r"reg_offset_int\s*=\s*(?:#[^\n]*\n)?\s*(\d+)")
_REALTIME = re.compile(r"if (cmd == \d+(?: or cmd == \d+)+):")
_PATH = re.compile(r"def exec_move_path\(\):\n(.*?)\n\s*end\b", re.DOTALL)
_STRUCTURE = re.compile(r"^(def|thread|sec|while|if|elif|else|global|local|return)\b")


class ScriptError(ValueError):
    """The program holds something the emulator cannot do; the real controller would run it."""


@dataclass(frozen=True)
class Statement:
    """One call: ``name(*args, **kwargs)``; a pose ``p[...]`` arrives as a Pose, a list as a list."""

    name: str
    args: list = field(default_factory=list)
    kwargs: dict = field(default_factory=dict)


class Pose(list):
    """Six numbers written ``p[x, y, z, rx, ry, rz]``."""


@dataclass(frozen=True)
class ControlScript:
    """What matters of ur_rtde's control script; the rest of it is the same in every version."""

    register_offset: int
    realtime_commands: frozenset[int]
    path: tuple[Statement, ...]


def parse_program(text: str) -> ControlScript | tuple[Statement, ...]:
    """An uploaded program -> control script or list of statements. Raises ScriptError."""
    if "def rtde_control():" in text:
        return _parse_control_script(text)
    body = [line for line in text.splitlines()[1:] if line.strip() != "end"] if text.lstrip().startswith(
        ("def ", "sec ")
    ) else text.splitlines()
    return parse_statements(body)


def _parse_control_script(text: str) -> ControlScript:
    offset = _OFFSET.search(text)
    realtime = _REALTIME.findall(text)
    if offset is None or not realtime:
        raise ScriptError("control script without register offset or realtime commands")
    path = _PATH.search(text)
    return ControlScript(
        register_offset=int(offset.group(1)),
        realtime_commands=frozenset(int(n) for n in re.findall(r"\d+", max(realtime, key=len))),
        path=parse_statements(path.group(1).splitlines()) if path else (),
    )


def parse_statements(lines: list[str]) -> tuple[Statement, ...]:
    statements = []
    for line in lines:
        code = line.split("#", 1)[0].strip()
        if code and not code.startswith("textmsg"):
            statements.append(_statement(code))
    return tuple(statements)


def _statement(code: str) -> Statement:
    if _STRUCTURE.match(code):
        raise ScriptError(f"the emulator runs no {code.split()[0]!r} in a program")
    try:
        call = ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ScriptError(f"cannot read {code[:60]!r}") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ScriptError(f"expected a call, got {code[:60]!r}")
    return Statement(
        call.func.id, [_value(a) for a in call.args], {k.arg: _value(k.value) for k in call.keywords if k.arg}
    )


def _value(node: ast.expr):
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "p":
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return Pose(_number(v) for v in inner)
    if isinstance(node, ast.List):
        return [_number(v) for v in node.elts]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return _number(node)


def _number(node: ast.expr) -> float:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _number(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _number(node.left) + _number(node.right)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and abs(node.value) < _LARGEST:
        return node.value
    raise ScriptError("expected a number in the program")
