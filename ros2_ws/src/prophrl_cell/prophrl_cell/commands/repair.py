"""``prophrl data repair FOLDER...``: whole episodes out of what a killed recorder left, or a broken copy."""

import argparse
import pathlib
import sys

from prophrl_core.episode import META_NAME, PARTIAL_SUFFIX
from prophrl_core.errors import UserError

HELP = "recover episodes that a killed recorder left unfinished, or that were damaged since"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=pathlib.Path,
        help=f"unfinished episodes (<id>{PARTIAL_SUFFIX}), folders that hold some, or one damaged episode",
    )


def run(args: argparse.Namespace) -> int:
    from prophrl_cell.recorder.repair import is_whole, reopen, repair_episode

    partials = []
    for folder in args.folders:
        if not folder.is_dir():
            raise UserError(f"expected a folder of episodes at {folder}, found none; check the path")
        if folder.name.endswith(PARTIAL_SUFFIX):
            partials.append(folder)
        elif not (folder / META_NAME).is_file():
            partials += sorted(folder.glob(f"**/*{PARTIAL_SUFFIX}/"))
        elif is_whole(folder):
            print(f"{folder.name}: whole, nothing to repair")
        else:
            partials.append(reopen(folder))
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
