"""A dataset on the Hugging Face hub: one commit, a card, and the version tag that LeRobot looks for."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import httpx
from prophrl_core.errors import UserError

from prophrl_training.datasets import layout
from prophrl_training.datasets.reader import Dataset

CARD = "README.md"


def files_of(dataset: Dataset) -> list[Path]:
    """Every file that belongs to the dataset: its metadata, tables and videos, and a card if it has one."""
    used = {entry.data_file for entry in dataset.episodes}
    used |= {file for entry in dataset.episodes for file, _ in entry.videos.values()}
    found = [layout.inside(dataset.folder, relative, layout.MAX_VIDEO_BYTES) for relative in sorted(used)]
    found += [path.resolve() for path in sorted((dataset.folder / "meta").rglob("*")) if path.is_file()]
    card = dataset.folder / CARD
    root = dataset.folder.resolve()
    return [path for path in [*found, *([card.resolve()] if card.is_file() else [])] if path.is_relative_to(root)]


def push(dataset: Dataset, repo: str, private: bool, license_name: str) -> str:
    """Upload to ``repo`` (owner/name), creating it; returns its address. UserError when the hub cannot be used."""
    if dataset.version != layout.VERSION:
        raise UserError(f"{dataset.folder}: expected a {layout.VERSION} dataset to upload, got {dataset.version}")
    api, root = HfApi(), dataset.folder.resolve()
    operations = [CommitOperationAdd(path.relative_to(root).as_posix(), str(path)) for path in files_of(dataset)]
    if not (dataset.folder / CARD).is_file():
        operations.append(CommitOperationAdd(CARD, card(dataset, license_name).encode()))
    message = f"{len(dataset.episodes)} episodes, {len(dataset)} rows"
    try:
        address = api.create_repo(repo, private=private, repo_type="dataset", exist_ok=True)
        api.create_commit(repo, operations, commit_message=message, repo_type="dataset")
        api.create_tag(repo, tag=layout.VERSION, repo_type="dataset", exist_ok=True)
    except LocalTokenNotFoundError:
        raise UserError("hub: expected a token, found none; set HF_TOKEN or run: hf auth login") from None
    except HFValidationError as error:
        raise UserError(f"hub: expected --repo as owner/name, got {repo!r} ({_line(error)})") from None
    except HfHubHTTPError as error:
        raise UserError(f"hub: refused {repo}: {_line(error)}; check the name and the token's rights") from None
    except (httpx.TransportError, OSError) as error:
        raise UserError(f"hub: cannot be reached ({_line(error)}); check the network, then push again") from None
    return str(address)


def card(dataset: Dataset, license_name: str) -> str:
    """A dataset card that the hub and LeRobot understand."""
    tasks = "\n".join(f"- {task}" for task in dataset.tasks)
    return (
        f"---\nlicense: {license_name}\ntask_categories:\n- robotics\ntags:\n- LeRobot\n- prophrl\nconfigs:\n"
        "- config_name: default\n  data_files: data/*/*.parquet\n---\n\n"
        f"LeRobot {dataset.version} dataset: {len(dataset.episodes)} episodes, {len(dataset)} rows at "
        f"{dataset.fps:g} Hz, robot {dataset.robot_type or 'unknown'}.\n\nTasks:\n\n{tasks}\n"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
