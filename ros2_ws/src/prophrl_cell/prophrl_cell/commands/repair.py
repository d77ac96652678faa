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
    from prophrl_cell.recorder.repair import is_whole, repair_damaged, repair_episode

    chosen = []
    for folder in args.folders:
        if not folder.is_dir():
            raise UserError(f"expected a folder of episodes at {folder}, found none; check the path")
        alone = folder.name.endswith(PARTIAL_SUFFIX) or (folder / META_NAME).is_file()
        chosen += [folder] if alone else sorted(folder.glob(f"**/*{PARTIAL_SUFFIX}/"))
    repaired = failures = 0
    for folder in chosen:
        try:
            if folder.name.endswith(PARTIAL_SUFFIX):
                meta = repair_episode(folder)
            elif is_whole(folder):
                print(f"{folder.name}: whole, nothing to repair")
                continue
            else:
                meta = repair_damaged(folder)
        except (UserError, OSError) as error:
            print(f"prophrl: error: {error}", file=sys.stderr)
            failures += 1
            continue
        repaired += 1
        print(f"{meta.episode_id}: {sum(s.messages for s in meta.streams)} messages over {meta.duration:.1f} s")
    print(f"{repaired} of {repaired + failures} unfinished episodes repaired")
    return 1 if failures else 0
