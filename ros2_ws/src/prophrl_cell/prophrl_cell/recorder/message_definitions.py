"""Full text and type hash of ROS message types, read from the installed interface packages.

A bag carries the definition of every type in it, comments and units included, so that it can be
read years later without this workspace. Files come from ``<prefix>/share/<package>/msg`` of the
ament index, which apt installs and colcon workspaces both have.
"""

import dataclasses
import json
import os
import pathlib

from prophrl_core.errors import UserError

PRIMITIVES = {
    "bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16",
    "int32", "uint32", "int64", "uint64", "string", "wstring",
}
SEPARATOR = "=" * 80


@dataclasses.dataclass(frozen=True)
class MessageDefinition:
    """One type as a bag stores it; ``text`` holds the type and everything it refers to."""

    type_name: str  # package/msg/Name
    text: str
    type_hash: str  # RIHS01_...

def starts_with_header(text: str) -> bool:
    """Whether the first field of a definition's text is a std_msgs/Header."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words and not any("=" in word for word in words):
            return words[0] == "std_msgs/Header"
    return False


def load_definition(type_name: str) -> MessageDefinition:
    """Definition of ``package/msg/Name``; UserError when its package is not installed."""
    seen: dict[str, str] = {}
    _collect(type_name, seen)
    parts = [seen.pop(type_name)]
    for name, text in seen.items():
        package, _, message = name.split("/")
        parts.append(f"{SEPARATOR}\nMSG: {package}/{message}\n{text}")
    return MessageDefinition(type_name, "\n".join(parts), _type_hash(type_name))


def _collect(type_name: str, seen: dict[str, str]) -> None:
    if type_name in seen:
        return
    text = _share_file(type_name, ".msg").read_text()
    seen[type_name] = text.rstrip("\n") + "\n"
    for referred in _referred_types(text, type_name.split("/")[0]):
        _collect(referred, seen)


def _referred_types(text: str, package: str) -> list[str]:
    """Non-primitive field types of a .msg text as package/msg/Name, in order of use."""
    referred = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) < 2:
            continue
        base = words[0].split("[", 1)[0].split("<", 1)[0]
        if base in PRIMITIVES:
            continue
        parts = base.split("/")
        referred.append(f"{package}/msg/{base}" if len(parts) == 1 else f"{parts[0]}/msg/{parts[-1]}")
    return referred


def _type_hash(type_name: str) -> str:
    description = json.loads(_share_file(type_name, ".json").read_text())
    for entry in description["type_hashes"]:
        if entry["type_name"] == type_name:
            return entry["hash_string"]
    raise UserError(f"expected a type hash for {type_name} in its .json, found none; rebuild the interface package")


def _share_file(type_name: str, suffix: str) -> pathlib.Path:
    package, _, message = type_name.split("/")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for prefix in filter(None, prefixes):
        path = pathlib.Path(prefix) / "share" / package / "msg" / f"{message}{suffix}"
        if path.exists():
            return path
    raise UserError(
        f"expected the definition of {type_name} in share/{package}/msg of AMENT_PREFIX_PATH, found none;"
        " enter the workspace (./prophrl does) or build the interface package"
    )
