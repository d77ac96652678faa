"""``prophrl data repair FOLDER...``: whole episodes out of what a killed recorder left."""

import argparse
import pathlib
import sys

from prophrl_core.episode import PARTIAL_SUFFIX
from prophrl_core.errors import UserError

HELP = "recover episodes that a killed recorder left unfinished"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path,
        help=f"unfinished episodes (<id>{PARTIAL_SUFFIX}) or folders that hold some",
    )


def run(args: argparse.Namespace) -> int:
    from prophrl_cell.recorder.repair import repair_episode

    partials = []
    for folder in args.folders:
        if not folder.is_dir():
            raise UserError(f"expected a folder of episodes at {folder}, found none; check the path")
        is_one = folder.name.endswith(PARTIAL_SUFFIX)
        partials += [folder] if is_one else sorted(folder.glob(f"**/*{PARTIAL_SUFFIX}/"))
    failures = 0
    for partial in partials:
        try:
            meta = repair_episode(partial)
        except UserError as error:
            print(f"prophrl: error: {error}", file=sys.stderr)
            failures += 1
            continue
        print(f"{meta.episode_id}: {sum(s.messages for s in meta.streams)} messages over {meta.duration:.1f} s")
    print(f"{len(partials) - failures} of {len(partials)} unfinished episodes repaired")
    return 1 if failures else 0
