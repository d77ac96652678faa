"""``prophrl bench inference --json F``: from a camera frame to a chunk, ONNX Runtime against torch eager, batch 1.

Both get the same frames (640x480, cropped and shrunk inside the measured time), the same proprioception
and noise, one thread each, and take turns in blocks, so that a busy machine slows both alike.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from prophrl_core.bundle import read_bundle
from prophrl_core.figures import Figure, write_figures
from prophrl_core.policy_image import crop_and_resize

HELP = "latency from a camera frame to a chunk, ONNX Runtime against torch"
BLOCK = 10  # inferences before the other runtime's turn
WARM_UP = 10
FRAME_SHAPE = (480, 640, 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, default=Path("bundles/grasp_bottle/sft"), help="default: %(default)s")
    parser.add_argument("--n", type=int, default=300, help="inferences per runtime (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of frames, proprioception and noise")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    import torch
    from prophrl_policy.backends import load_policy

    torch.set_num_threads(1)
    bundle = read_bundle(args.bundle)
    policies = {"onnx": load_policy(bundle, "onnx"), "torch": load_policy(bundle, "torch")}
    rng = np.random.default_rng(args.seed)
    frames = rng.integers(0, 256, (8, *FRAME_SHAPE), np.uint8)
    proprio = bundle.smoke()["proprio"]
    milliseconds: dict[str, list[float]] = {name: [] for name in policies}
    largest = 0.0
    for turn in range(-WARM_UP, args.n, BLOCK):
        noises = rng.standard_normal((BLOCK, *policies["onnx"].noise_shape))
        chunks = {}
        for name, policy in policies.items():
            for i in range(BLOCK):
                started = time.perf_counter()
                image = crop_and_resize(frames[i % len(frames)], bundle.manifest.image)
                chunks[name] = policy.infer(image, proprio, bundle.manifest.instruction, noises[i])
                if turn >= 0:
                    milliseconds[name].append(1e3 * (time.perf_counter() - started))
        largest = max(largest, float(np.abs(chunks["onnx"] - chunks["torch"]).max()))

    quantiles = {name: np.quantile(values, [0.5, 0.99]) for name, values in milliseconds.items()}
    print("| runtime | p50 ms | p99 ms | n |\n|---|---|---|---|")
    for name, policy in policies.items():
        p50, p99 = quantiles[name]
        print(f"| {policy.provider} | {p50:.2f} | {p99:.2f} | {len(milliseconds[name])} |")
    print(f"largest difference between the chunks: {largest:.1e} (m, rad or openness)")
    if args.json:
        against = [{"name": "torch eager", "value": float(value)} for value in quantiles["torch"]]
        values = [float(value) for value in quantiles["onnx"]]
        n = len(milliseconds["onnx"])
        write_figures(
            args.json,
            [
                Figure(f"inference.chunk_latency.{name}", value, "ms", n, seed=args.seed, against=rival)
                for name, value, rival in zip(("p50", "p99"), values, against, strict=True)
            ],
        )
    return 0
