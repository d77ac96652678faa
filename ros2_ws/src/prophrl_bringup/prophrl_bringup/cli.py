"""The ``prophrl`` command: finds the room that owns a command and imports only that room.

A command module has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(arguments) -> exit status``. The overview
reads HELP from the source without importing it, so that ``prophrl --help`` needs neither torch nor rclpy nor MuJoCo.
"""

import argparse
import ast
import importlib
import importlib.util
import sys

from prophrl_core.errors import UserError

COMMANDS = {
    "up": "prophrl_bringup.up",
    "demo": "prophrl_bringup.demo",
    "teleop": "prophrl_bringup.teleop",
    "doctor": "prophrl_bringup.doctor",
    "operator": "prophrl_bringup.operator",
    "sim serve": "prophrl_sim.commands.serve",
    "sim expert": "prophrl_sim.commands.expert",
    "data repair": "prophrl_cell.commands.repair",
    "data replay": "prophrl_bringup.replay",
    "data convert": "prophrl_training.commands.data_convert",
    "data merge": "prophrl_training.commands.data_merge",
    "data split": "prophrl_training.commands.data_split",
    "data simulate": "prophrl_training.commands.data_simulate",
    "data stats": "prophrl_training.commands.data_stats",
    "data push": "prophrl_training.commands.data_push",
    "data inspect": "prophrl_training.commands.data_inspect",
    "calibrate target": "prophrl_calibration.commands.target",
    "calibrate intrinsics": "prophrl_bringup.calibrate.intrinsics",
    "calibrate hand-eye": "prophrl_bringup.calibrate.hand_eye",
    "calibrate check": "prophrl_bringup.calibrate.check",
    "calibrate latency": "prophrl_bringup.calibrate.latency",
    "calibrate bench": "prophrl_calibration.commands.bench",
    "train sft": "prophrl_training.commands.sft",
    "train autoencoder": "prophrl_training.commands.train_autoencoder",
    "train prophet": "prophrl_training.commands.train_prophet",
    "train reward": "prophrl_training.commands.reward",
    "eval policy": "prophrl_training.commands.eval_policy",
    "eval prophet": "prophrl_training.commands.eval_prophet",
    "bench control": "prophrl_bringup.bench.control",
    "bench faults": "prophrl_bringup.bench.faults",
    "bench inference": "prophrl_bringup.bench.inference",
    "bench cameras": "prophrl_bringup.bench.cameras",
    "bench teleop": "prophrl_bringup.bench.teleop",
    "bench agreement": "prophrl_bringup.bench.agreement",
    "bench recording": "prophrl_bringup.bench.recording",
    "bench reading": "prophrl_training.commands.bench_reading",
    "bench imagination": "prophrl_training.commands.bench_imagination",
    "bench table": "prophrl_bringup.bench.table",
}
# Packages that `make setup` installs only when asked, and the word that asks for them.
OPTIONAL_PACKAGES = {
    "torch": "train", "onnx": "train", "onnxscript": "train", "diffusers": "train", "peft": "train",
    "h5py": "data", "huggingface_hub": "data", "pyarrow": "data",
    "scipy": "calibrate",
    "hid": "teleop", "nicegui": "teleop", "pygame": "teleop",
}  # fmt: skip


def help_line(module_name: str) -> str:
    """The module's HELP, read without running it."""
    spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None:
        raise UserError(f"{module_name}: expected this module, found none; run: make setup")
    with open(spec.origin, encoding="utf-8") as source:
        for node in ast.parse(source.read()).body:
            if isinstance(node, ast.Assign) and any(getattr(target, "id", None) == "HELP" for target in node.targets):
                return ast.literal_eval(node.value)
    raise UserError(f"{module_name}: expected a one-line HELP, found none; add it to the command")


def overview(prefix: str = "") -> str:
    """The commands whose words start with ``prefix``, one line each."""
    names = [name for name in COMMANDS if not prefix or name.startswith(f"{prefix} ")]
    width = max(len(name) for name in names)
    lines = [f"usage: {' '.join(['prophrl', *prefix.split()])} COMMAND [--help] [arguments]", "", "commands:"]
    lines += [f"  {name:<{width}}  {help_line(COMMANDS[name])}" for name in names]
    return "\n".join(lines)


def find(words: list[str]) -> tuple[str, list[str]] | None:
    """The command that ``words`` begin with, and the words after it."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in COMMANDS:
            return name, words[length:]
    return None


def dispatch(words: list[str]) -> int:
    """Run the command in ``words``; the overview when they name none."""
    found = find(words)
    if found is None:
        asked = [word for word in words if word not in ("-h", "--help")]
        room = asked[0] if any(name.startswith(f"{word} ") for word in asked[:1] for name in COMMANDS) else ""
        if asked and asked != [room]:
            raise UserError(f"unknown command {' '.join(asked)!r}; see: prophrl --help")
        print(overview(room))
        return 0
    name, rest = found
    module = importlib.import_module(COMMANDS[name])
    parser = argparse.ArgumentParser(prog=f"prophrl {name}", description=module.HELP)
    module.add_arguments(parser)
    return module.run(parser.parse_args(rest)) or 0


def main() -> None:
    """Entry point; every foreseeable error is one line and exit status 2."""
    try:
        sys.exit(dispatch(sys.argv[1:]))
    except UserError as error:
        print(f"prophrl: error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = OPTIONAL_PACKAGES.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        print(f"prophrl: error: this command needs {error.name}; run: make setup EXTRAS={extra}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
