"""The imagination bench runs end to end, the stock pipeline included, and names its figures."""

import argparse
import json

from prophrl_training.commands import bench_imagination
from prophrl_world_model import checkpoints
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.prophet import Prophet


def test_the_bench_writes_its_figures(miniature, tmp_path, capsys):
    config = miniature()
    checkpoints.save(tmp_path, Prophet(config), VideoAutoencoder(config.autoencoder), {})
    parser = argparse.ArgumentParser()
    bench_imagination.add_arguments(parser)
    words = f"--weights {tmp_path} --batches 1 3 --few-steps 2 --rounds 1 --json {tmp_path}/f.json"
    assert bench_imagination.run(parser.parse_args(words.split())) == 0
    figures = {f["name"]: f for f in json.loads((tmp_path / "f.json").read_text())["figures"]}
    assert set(figures) == {
        "imagination.frames_per_second", "imagination.frames_per_second.float32.batch_1",
        "imagination.frames_per_second.full.float32.batch_3",
    }  # fmt: skip
    assert all(f["value"] > 0 and f["against"]["value"] > 0 for f in figures.values())
    assert "| diffusers pipeline | 35 steps | float32 | no | 1 |" in capsys.readouterr().out
