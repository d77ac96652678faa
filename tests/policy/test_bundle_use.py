"""Bundles through both runtimes: parity, smoke inference, refusals, and life without torch."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from prophrl_core.action import ActionSpec
from prophrl_core.bundle import read_bundle, write_bundle
from prophrl_core.errors import UserError
from prophrl_policy.backends import load_policy


def observations(n, seed=5):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 256, (n, 128, 128, 3), np.uint8),
        rng.normal(0, 0.2, (n, 10)),
        ["grasp the bottle and lift it up"] * n,
        rng.standard_normal((n, 20, 7)),
    )


def test_onnx_and_torch_agree_for_any_batch(bundle):
    onnx, eager = load_policy(bundle, "onnx"), load_policy(bundle, "torch")
    for n in (1, 3):
        seen = observations(n)
        np.testing.assert_allclose(onnx.infer_batch(*seen), eager.infer_batch(*seen), atol=1e-5)
    one = onnx.infer(*(part[0] for part in observations(3)))
    np.testing.assert_allclose(one, onnx.infer_batch(*observations(3))[0], atol=1e-6)


def test_chunk_is_in_units_and_depends_on_the_noise(bundle):
    policy = load_policy(bundle)
    image, proprio, text, noise = observations(1)
    chunk = policy.infer_batch(image, proprio, text, noise)
    other = policy.infer_batch(image, proprio, text, -noise)
    assert chunk.shape == (1, 20, 7) and (0 <= chunk[..., 6]).all() and (chunk[..., 6] <= 1).all()
    assert np.abs(chunk[..., :6]).max() < 1.0 and np.abs(chunk - other).max() > 1e-4


def test_smoke_inference_passes_here_and_catches_other_numbers(bundle, tmp_path):
    assert load_policy(bundle).check_smoke() < 1e-5
    smoke = bundle.smoke()
    smoke["chunk"][3, 2] += 0.005
    files = {"policy.onnx": bundle.file("policy.onnx")}
    changed = write_bundle(tmp_path / "changed", bundle.manifest, bundle.statistics, smoke, files)
    with pytest.raises(UserError, match="smoke inference"):
        load_policy(changed).check_smoke()


@pytest.mark.parametrize("change", [{"image": np.zeros((3, 3), np.uint8)}, {"noise": np.zeros((1, 1), np.float32)}])
def test_a_smoke_observation_of_other_shapes_is_one_line(bundle, tmp_path, change):
    files = {"policy.onnx": bundle.file("policy.onnx")}
    odd = write_bundle(tmp_path / "odd", bundle.manifest, bundle.statistics, bundle.smoke() | change, files)
    with pytest.raises(UserError, match="smoke inference on .* failed") as caught:
        load_policy(odd).check_smoke()
    assert "\n" not in str(caught.value)


def test_weights_that_are_none_are_one_line(bundle, tmp_path):
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"not safetensors")
    files = {"policy.onnx": bundle.file("policy.onnx"), "weights.safetensors": broken}
    odd = write_bundle(tmp_path / "odd", bundle.manifest, bundle.statistics, bundle.smoke(), files)
    with pytest.raises(UserError, match="cannot be read"):
        load_policy(odd, "torch")


def test_the_node_answers_whatever_a_bundle_does(monkeypatch):
    policy_node = pytest.importorskip("prophrl_policy.nodes.policy_node")
    bundle = SimpleNamespace(version="old@1")
    runner = SimpleNamespace(policy=SimpleNamespace(bundle=bundle), episode=None, replace=None)
    node = SimpleNamespace(_runner=runner, _task=None, get_parameter=lambda _: SimpleNamespace(value="onnx"))

    def surprise(*_):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(policy_node, "load_checked", surprise)
    response = SimpleNamespace(success=False, version="", message="")
    answer = policy_node.PolicyNode._on_load(node, SimpleNamespace(bundle="b"), response)
    assert (answer.success, answer.version) == (False, "old@1")
    assert answer.message == "b: cannot be loaded (ZeroDivisionError: two)"


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_statistics_of_other_weights_are_refused(bundle, tmp_path, backend):
    """A well-formed bundle whose statistics are not those of the weights: hashes alone do not see it."""
    statistics = {name: [1.01 * v for v in values] for name, values in bundle.statistics.items()}
    files = {name: bundle.file(name) for name in ("policy.onnx", "weights.safetensors")}
    mixed = write_bundle(tmp_path / "mixed", bundle.manifest, statistics, bundle.smoke(), files)
    with pytest.raises(UserError, match="trained with") as error:
        load_policy(mixed, backend)
    assert "\n" not in str(error.value)


def test_altered_bundles_and_other_specs_are_refused(bundle, tmp_path):
    with pytest.raises(UserError, match="action spec"):
        read_bundle(bundle.path, ActionSpec(rate_hz=5.0))
    torn = tmp_path / "torn"
    torn.mkdir()
    for file in bundle.path.iterdir():
        (torn / file.name).write_bytes(file.read_bytes())
    weights = bytearray((torn / "policy.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (torn / "policy.onnx").write_bytes(weights)
    with pytest.raises(UserError, match="SHA-256"):
        read_bundle(torn)


def test_wrong_statistics_dimensions_are_refused(bundle, tmp_path):
    statistics = json.loads(json.dumps(bundle.statistics))
    for name in ("action_low_D", "action_high_D"):
        statistics[name] = statistics[name][:6]
    files = {"policy.onnx": bundle.file("policy.onnx")}
    short = write_bundle(tmp_path / "short", bundle.manifest, statistics, bundle.smoke(), files)
    with pytest.raises(UserError, match="7 action"):
        load_policy(short)


def test_no_torch_is_needed_to_infer(bundle):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from prophrl_core.bundle import read_bundle\n"
        "from prophrl_policy.backends import load_policy\n"
        "import prophrl_policy.scheduling, prophrl_policy.samplers\n"
        f"print(load_policy(read_bundle({str(bundle.path)!r})).check_smoke())\n"
        "try: load_policy(read_bundle(sys.argv[1]), 'torch')\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle.path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    deviation, refusal = done.stdout.splitlines()
    assert float(deviation) < 1e-5
    assert refusal.startswith("UserError backend torch: expected torch")


def test_unknown_backend_is_named(bundle):
    with pytest.raises(UserError, match="onnx, torch"):
        load_policy(bundle, "tensorrt")
