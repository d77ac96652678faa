"""The gate end to end, from shipped weights to figures, in a folder: what is there already is not done again.

People demonstrate in the unseen cell, policies learn from them, the strongest one's rollouts are logged; on these
episodes Prophet adapts and the judge learns. Then all policies roll out in groups, and Prophet foretells each rollout.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from prophrl_core.bundle import sha256_file
from prophrl_core.errors import UserError
from prophrl_core.figures import Figure
from prophrl_world_model import checkpoints
from prophrl_world_model.imagination import ImaginationEnv
from prophrl_world_model.sampler import for_steps
from safetensors.numpy import save_file

from prophrl_training.classifier_files import load_classifier
from prophrl_training.commands import reward, train_prophet
from prophrl_training.datasets.dataset_writer import write_dataset
from prophrl_training.datasets.metadata_writer import DatasetSpec
from prophrl_training.datasets.parts import read_part
from prophrl_training.datasets.reader import open_dataset
from prophrl_training.gate_cell import GateCell, Job, Rollout
from prophrl_training.judge import Judge
from prophrl_training.outcome_predictor import OutcomePredictor
from prophrl_training.picture_trunk import shrunk
from prophrl_training.prophet_episodes import read_prophet_episodes
from prophrl_training.prophet_gate import (
    agreement_figures,
    imagine,
    judged,
    policy_figures,
    predicted,
    ranking_figures,
)
from prophrl_training.simulated_episodes import SimulatedSource, source_facts, stage_take

LOGGED = "policy-logged"
MARK = "gate.json"


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """Sizes of one run; ``sft_steps`` are of the policies, weak to strong, the last one is ranked in groups."""

    demonstrations: int = 40
    logged: int = 60
    sft_steps: tuple[int, ...] = (100, 250, 600)
    starts: int = 64
    group: int = 8
    steps: int = 96  # of every rollout, whatever happens in it
    other_starts: int = 96  # of the other policies, one rollout each
    adapt_steps: int = 500
    decoder_steps: int = 400  # where the autoencoder has layers
    own_context: int = 100  # episodes, of the logged ones, that begin in imagined frames
    judge_steps: int = 300
    processes: int = 2
    threads: int = 2


class GateRun:
    """The stages in ``folder``; ``say(text)`` shows progress."""

    def __init__(
        self, weights: Path, task: str, seed: int, folder: Path, config: GateConfig, say: Callable[[str], None]
    ) -> None:
        self.weights, self.task, self.seed, self.folder = weights, task, seed, folder
        self.config, self.say = config, say
        self.cell = GateCell(task, seed)
        self._policies = folder / "policies"
        torch.set_num_threads(config.threads)

    def claim_folder(self) -> None:
        """UserError when the folder holds something else, or a run with other weights, cell or sizes: its stages would
        pass for this one's."""
        config = dataclasses.asdict(dataclasses.replace(self.config, processes=0, threads=0))
        weights = {name: sha256_file(self.weights / name) for name in (checkpoints.PROPHET, checkpoints.AUTOENCODER)}
        facts = json.dumps({"task": self.task, "seed": self.seed, "weights": weights, "config": config}, sort_keys=True)
        mark = self.folder / MARK
        if mark.is_file() and mark.read_text(encoding="utf-8") == facts:
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            found = "a gate with other weights, cell or sizes" if mark.is_file() else "other files"
            raise UserError(
                f"{self.folder}: expected nothing there or this gate's own run, found {found}; give another --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(facts, encoding="utf-8")

    def run(self) -> list[Figure]:
        """All stages; the figures."""
        self.claim_folder()
        self.log_episodes()
        self.adapt()
        rollouts = self.roll_out()
        self.learn_to_judge()
        return self.score(rollouts)

    @property
    def bundles(self) -> list[Path]:
        """Of the policies, weak to strong."""
        return [self._policies / f"policy-{steps}" for steps in self.config.sft_steps]

    def log_episodes(self) -> None:
        """About a hundred episodes: people's, then those of the strongest policy."""
        episodes = self.folder / "episodes"
        if episodes.exists():
            return
        work = self.folder / "parts"
        shutil.rmtree(work, ignore_errors=True)
        takes, parts = self.cell.demonstrations(self.config.demonstrations, work)
        self.say(f"{sum(t.success[-1] for t in takes)} of {len(takes)} demonstrations succeeded")
        for steps in self.config.sft_steps:
            self.cell.train_policy(takes, steps, self._policies, lambda row: None)
            self.say(f"a policy of {steps} steps")
        jobs = [Job(self.bundles[-1], 100_000 + n, 0, keep=True) for n in range(self.config.logged)]
        env = self.cell.environment()
        for number, (_, take) in enumerate(self.cell.rollouts(jobs, self.config.processes)):
            env.reset(seed=jobs[number].scene)
            parts.append(work / f"policy-{number:04d}")
            stage_take(env, take, LOGGED, number, parts[-1])
        env.close()
        read, features = zip(*(read_part(part) for part in parts), strict=True)
        source = SimulatedSource(self.cell.cell, self.cell.task, 0, len(read), self.seed)
        rate, robot = round(self.cell.task.action.rate_hz), self.cell.cell.robot.model
        spec = DatasetSpec(rate, robot, features[0], source_facts(source))
        partial = self.folder / "episodes.partial"
        shutil.rmtree(partial, ignore_errors=True)
        write_dataset(partial, spec, list(read))
        partial.rename(episodes)
        won = sum(part.facts["outcome"] == "success" for part in read)
        self.say(f"{len(read)} episodes logged, {won} successes")

    def adapt(self) -> None:
        """Prophet learns the cell."""
        out = self.folder / "prophet"
        if (out / checkpoints.MANIFEST).exists():
            return
        words = f"--dataset {self.folder}/episodes --task {self.task} --weights {self.weights} --out {out} --phases 2"
        words += f" --steps {self.config.adapt_steps} --decoder-steps {self.config.decoder_steps} --learning-rate 2e-4"
        words += f" --own-context {self.config.own_context} --seed {self.seed} --threads {self.config.threads}"
        _call(train_prophet, words.split())

    def roll_out(self) -> list[Rollout]:
        """Groups of the strongest policy, then single rollouts of the others."""
        path = self.folder / "rollouts.npz"
        if not path.exists():
            strongest = self.bundles[-1]
            c = self.config
            jobs = [Job(strongest, s, n, c.steps) for s in range(c.starts) for n in range(c.group)]
            jobs += [Job(b, 200_000 + s, 0, c.steps) for b in self.bundles[:-1] for s in range(c.other_starts)]
            rollouts = []
            for rollout, _ in self.cell.rollouts(jobs, self.config.processes):
                rollouts.append(rollout)
                if len(rollouts) % 50 == 0 or len(rollouts) == len(jobs):
                    self.say(f"{len(rollouts)}/{len(jobs)} real rollouts")
            _store(path, rollouts)
        return _load(path)

    def environment(self) -> ImaginationEnv:
        """The adapted Prophet."""
        model, autoencoder = checkpoints.load(self.folder / "prophet", torch.float32)
        dataset = open_dataset(self.folder / "episodes")
        (episode,) = read_prophet_episodes(dataset, model.prophet, self.cell.task, None, [0])
        return ImaginationEnv(model, autoencoder, episode.view, for_steps(0, model.prophet), bfloat16=True)

    def learn_to_judge(self) -> None:
        """The judge from the logged episodes, real and imagined; the no-video predictor from the same."""
        out = self.folder / "judge"
        if (out / "judge.json").exists():
            return
        environment = self.environment()
        dataset = open_dataset(self.folder / "episodes")
        logged = [
            Rollout(
                "logged", n, e.frames_FHW3[0], shrunk(torch.from_numpy(e.frames_FHW3), 64).numpy(),
                dataset.rows(n, ["observation.proprio"])["observation.proprio"], e.actions_K7, e.labels.success_F,
            )
            for n, e in enumerate(read_prophet_episodes(dataset, environment.model.prophet, self.cell.task))
        ]  # fmt: skip
        clips = imagine(environment, logged, self.seed + 17, lambda done, total: self.say(f"imagined {done}/{total}"))
        length = max(len(clip.small_FSS3) for clip in clips)
        frames = np.stack([_stretched(clip.small_FSS3, length) for clip in clips])
        success = np.stack([_stretched(rollout.success_F.astype(np.uint8), length) for rollout in logged])
        order = np.random.default_rng(self.seed).permutation(len(clips))
        save_file({"frames": frames[order], "success": success[order]}, self.folder / "imagined.safetensors")
        words = f"--dataset {self.folder}/episodes --task {self.task} --imagined {self.folder}/imagined.safetensors"
        words += f" --baseline --steps {self.config.judge_steps} --seed {self.seed} --out {out}"
        if (self.weights / "judge.json").is_file():
            words += f" --weights {self.weights}"
        _call(reward, [*words.split(), "--threads", str(self.config.threads)])

    def score(self, rollouts: list[Rollout]) -> list[Figure]:
        """Who ranks and says what."""
        judge, predictor = (load_classifier(self.folder / "judge", kind) for kind in (Judge, OutcomePredictor))
        foretold = imagine(
            self.environment(), rollouts, self.seed, lambda done, total: self.say(f"foretold {done}/{total} rollouts")
        )
        seen = judged(judge, [clip.small_FSS3 for clip in foretold])
        held = np.array([clip.held for clip in foretold])
        scores = {
            "no_video": predicted(predictor, rollouts), "imagined": 0.5 * (seen + held), "judge_imagined": seen,
            "state_head": held, "judge_real": judged(judge, [rollout.small_FSS3 for rollout in rollouts]),
        }  # fmt: skip
        np.savez(
            self.folder / "scores.npz", **scores, real=np.array([r.succeeded for r in rollouts]),
            group=np.array([r.group for r in rollouts]), policy=np.array([r.policy for r in rollouts]),
        )  # fmt: skip
        grouped = [r for r, rollout in enumerate(rollouts) if rollout.policy == self.bundles[-1].name]
        chosen = [rollouts[r] for r in grouped]
        figures = ranking_figures(chosen, {name: values[grouped] for name, values in scores.items()}, self.seed)
        said = scores["imagined"] >= 0.5
        figures += agreement_figures(chosen, said[grouped], "prophet.success_agreement", self.seed)
        real = scores["judge_real"] >= judge.calibration.threshold
        figures += agreement_figures(chosen, real[grouped], "judge.real_agreement", self.seed)
        return figures + policy_figures(rollouts, said, self.seed)


def _call(module, words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args(words))


def _stretched(values_F: np.ndarray, length: int) -> np.ndarray:
    """The last value goes on until ``length``."""
    return np.concatenate([values_F, np.repeat(values_F[-1:], length - len(values_F), axis=0)])


_RAGGED = ("small_FSS3", "proprio_FP", "actions_K7", "success_F")


def _store(path: Path, rollouts: list[Rollout]) -> None:
    arrays = {name: np.concatenate([getattr(r, name) for r in rollouts]) for name in _RAGGED}
    facts = [[r.policy, r.group, len(r.success_F), len(r.actions_K7)] for r in rollouts]
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, first=np.stack([r.first_HW3 for r in rollouts]), facts=json.dumps(facts), **arrays)
    partial.replace(path)


def _load(path: Path) -> list[Rollout]:
    with np.load(path, allow_pickle=False) as data:
        facts = json.loads(str(data["facts"]))
        ends = {name: np.cumsum([f[3] if name == "actions_K7" else f[2] for f in facts])[:-1] for name in _RAGGED}
        parts = {name: np.split(data[name], ends[name]) for name in _RAGGED}
        first = data["first"]
    return [
        Rollout(f[0], f[1], first[i], *[parts[name][i] for name in _RAGGED]) for i, f in enumerate(facts)
    ]
