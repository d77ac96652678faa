"""Puts a calibration into a cell's YAML without touching anything else in the file, comments included."""

import dataclasses
import os
from pathlib import Path

import yaml
from prophrl_core.cell import CalibrationRecord, CameraSpec, load_cell
from prophrl_core.errors import UserError

_WORSE = 1.5  # times the error of before that a new calibration may have without being asked for


def check_better(camera: CameraSpec, made: CalibrationRecord, force: bool) -> None:
    """UserError when ``made`` is worse than what the cell has."""
    before = camera.calibration
    if before is None or force or before.mount != made.mount:
        return
    if made.within_mm > _WORSE * before.within_mm and made.held_out_mm > before.held_out_mm:
        raise UserError(
            f"camera {camera.name}: the cell has a better calibration, of {before.date} (within "
            f"{before.within_mm:.2f} mm, held out "
            f"{before.held_out_mm:.2f} mm; now {made.within_mm:.2f} and {made.held_out_mm:.2f} mm); take more "
            f"pictures or give --force"
        )


def write_calibration(path: str | os.PathLike, camera: str, pose_key: str, T, made: CalibrationRecord) -> None:
    """Set ``pose_key`` and ``calibration`` of a camera in the cell description at ``path``, atomically."""
    values = {pose_key: list(T), "calibration": _plain(made)}
    set_fields(path, camera, values)


def set_fields(path: str | os.PathLike, camera: str, values: dict) -> None:
    """Set fields of one camera. What is written is read back and checked before it replaces the file."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    for key, value in values.items():
        text = _with_field(text, path, camera, key, value)
    partial = path.with_name(f".{path.stem}.partial.yaml")
    partial.write_text(text, encoding="utf-8")
    try:
        load_cell(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(made: CalibrationRecord) -> dict:
    data = dataclasses.asdict(made)
    data["T_target"], data["joints"] = list(made.T_target), [list(q) for q in made.joints]
    return data


def _with_field(text: str, path: Path, camera: str, key: str, value) -> str:
    """``text`` with one field of a camera replaced, or added as the last of that camera."""
    node = _camera_node(text, path, camera)
    if node.flow_style:
        raise UserError(f"{path.name}: expected camera {camera} as a block with one field per line; rewrite it so")
    indent = node.value[0][0].start_mark.column
    dumped = _dumped(key, value)
    block = "".join(" " * indent + line + "\n" for line in dumped.splitlines())
    for k, v in node.value:
        if k.value == key:
            begin = k.start_mark.index
            end = _end_of_line(text, v)
            return text[: begin - indent] + _after_dash(text, begin, indent) + block[indent:] + text[end:]
    last = _end_of_line(text, node.value[-1][1])
    return text[:last] + block + text[last:]


def _dumped(key: str, value) -> str:
    """One field as YAML: a mapping as a block whose lists are on one line each, anything else on one line."""
    if isinstance(value, dict):
        return yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return f"{key}: {yaml.safe_dump(value, default_flow_style=True, width=10_000).splitlines()[0]}\n"


def _after_dash(text: str, begin: int, indent: int) -> str:
    """What stands before a key on its line: blanks, or the dash of a list's item."""
    return text[begin - indent : begin]


def _end_of_line(text: str, node: yaml.Node) -> int:
    """Index after the line on which a value ends; a block's end mark already is at the start of a later line."""
    end = node.end_mark.index
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
        end = node.end_mark.index
    newline = text.find("\n", end)
    return len(text) if newline < 0 else newline + 1


def _camera_node(text: str, path: Path, camera: str) -> yaml.MappingNode:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    cameras = next((v for k, v in root.value if k.value == "cameras"), None)
    for item in cameras.value if cameras is not None else []:
        if any(k.value == "name" and v.value == camera for k, v in item.value):
            return item
    raise UserError(f"{path.name}: no camera {camera!r}; add it to the cell description")
