"""A flow policy as a bundle: half-precision weights, an ONNX graph with the sampler unrolled, a smoke test.

Weights are rounded to float16 once; safetensors and ONNX store the rounded values in half the bytes
and both compute in float32, so the two runtimes agree and nothing is lost between them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from prophrl_core.bundle import ONNX_NAME, WEIGHTS_NAME, Bundle, BundleManifest, write_bundle
from safetensors.torch import save_file

from prophrl_policy.backends import load_policy
from prophrl_policy.flow_policy import FlowPolicy
from prophrl_policy.instruction import LENGTH, tokenize
from prophrl_policy.normalisation import Statistics

OPSET = 18
PARITY = 1e-4  # normalised units, ONNX Runtime against torch


def export_onnx(network: FlowPolicy, image_size: int, proprio_dim: int, path: Path, metadata: dict[str, str]) -> None:
    """Write image, proprio, tokens, noise -> chunk with a free batch size; ``metadata`` goes along."""
    example = (
        torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8),
        torch.zeros(2, proprio_dim),
        torch.ones(2, LENGTH, dtype=torch.int64),
        torch.zeros(2, network.chunk_steps, network.action_dim),
    )
    names = ["image", "proprio", "tokens", "noise"]
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.onnx.export(
        network,
        example,
        input_names=names,
        output_names=["chunk"],
        dynamic_shapes=[{0: batch}] * 4,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = program.model_proto
    store_in_half(model)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def store_in_half(model: onnx.ModelProto) -> None:
    """Keep float weights as float16 with a cast behind each; the runtime folds the casts when it loads."""
    graph, casts = model.graph, []
    for index, tensor in enumerate(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < 256:
            continue
        values = numpy_helper.to_array(tensor)
        halved = values.astype(np.float16)
        if not np.array_equal(halved.astype(np.float32), values):
            continue
        name = tensor.name
        graph.initializer[index].CopyFrom(numpy_helper.from_array(halved, name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


@torch.no_grad()
def round_to_half(network: FlowPolicy) -> None:
    """Round every weight to a float16 value, in place."""
    for parameter in network.parameters():
        parameter.copy_(parameter.half().float())


def write_policy_bundle(
    path: Path,
    network: FlowPolicy,
    statistics: Statistics,
    manifest: BundleManifest,
    image_HWC: np.ndarray,
    proprio_P: np.ndarray,
    extra_files: dict[str, Path],
) -> Bundle:
    """Round, export, store the smoke observation (prepared image, proprioception in units) and verify.

    ``manifest`` carries everything but hashes. Raises RuntimeError when ONNX Runtime and torch differ.
    """
    network = network.eval().cpu()
    round_to_half(network)
    metadata = {"statistics": statistics.digest, "action_spec": manifest.action.id}
    noise_TD = np.random.default_rng(0).standard_normal((network.chunk_steps, network.action_dim)).astype(np.float32)
    with torch.inference_mode():
        normalised_TD = network(
            torch.from_numpy(image_HWC[None]),
            torch.from_numpy(statistics.normalise_proprio(proprio_P)[None]),
            torch.from_numpy(tokenize(manifest.instruction)[None]),
            torch.from_numpy(noise_TD[None]),
        )[0].numpy()
    smoke = {
        "image": image_HWC,
        "proprio": proprio_P.astype(np.float64),
        "noise": noise_TD,
        "chunk": statistics.restore_actions(normalised_TD),
    }
    with tempfile.TemporaryDirectory() as folder:
        onnx_path, weights_path = Path(folder) / ONNX_NAME, Path(folder) / WEIGHTS_NAME
        export_onnx(network, manifest.image.size, manifest.proprioception_dims, onnx_path, metadata)
        save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, weights_path, metadata)
        files = {ONNX_NAME: onnx_path, WEIGHTS_NAME: weights_path, **extra_files}
        bundle = write_bundle(path, manifest, statistics.to_json(), smoke, files)
    for backend in ("onnx", "torch"):
        error = load_policy(bundle, backend).check_smoke()
        if error > PARITY:
            raise RuntimeError(f"{backend} deviates from the exported network by {error:.3g}, more than {PARITY}")
    return bundle
