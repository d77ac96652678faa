import json
from pathlib import Path

import numpy as np
import pytest
from prophrl_core import bundle as b
from prophrl_core.action import ActionSpec
from prophrl_core.errors import UserError
from prophrl_core.replaced_folder import MARK
from prophrl_core.task import PolicyImage


def write(path, weights=b"weights"):
    """A bundle at ``path``, its weights from a file beside it."""
    source = path.parent / "w.onnx"
    source.write_bytes(weights)
    manifest = b.BundleManifest(
        name="toy", task="grasp_bottle", instruction="grasp", architecture="small", architecture_config={"width": 8},
        action=ActionSpec(), spec_id="", image=PolicyImage(), proprioception_dims=10, flow_steps=8,
        statistics_sha256="", command="prophrl train sft", seed=0, metrics={"loss": 0.1}, files={},
    )
    smoke = {"actions_TD": np.zeros((20, 7), np.float32)}
    return b.write_bundle(path, manifest, {"mean": [0.0]}, smoke, {b.ONNX_NAME: source})


@pytest.fixture
def made(tmp_path):
    return write(tmp_path / "toy")


def edit(path, change):
    manifest = json.loads((path / b.MANIFEST_NAME).read_text())
    change(manifest)
    (path / b.MANIFEST_NAME).write_text(json.dumps(manifest))


def test_round_trip(made):
    again = b.read_bundle(made.path, ActionSpec())
    assert again.version == made.version and again.version.startswith("toy@")
    assert again.manifest == made.manifest
    assert again.statistics == {"mean": [0.0]}
    np.testing.assert_array_equal(again.smoke()["actions_TD"], np.zeros((20, 7)))


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda p: (p / b.ONNX_NAME).write_bytes(b"weightz"), "does not match its SHA-256"),
        (lambda p: (p / b.ONNX_NAME).write_bytes(b"longer than before"), "bytes, got"),
        (lambda p: (p / b.ONNX_NAME).unlink(), "found none"),
        (lambda p: (p / "extra.onnx").write_bytes(b"x"), "unlisted file"),
        (lambda p: (p / b.STATISTICS_NAME).unlink(), "statistics.json"),
        (lambda p: (p / b.MANIFEST_NAME).unlink(), "expected manifest.json"),
        (lambda p: (p / b.MANIFEST_NAME).write_text("{"), "not valid JSON"),
        (lambda p: (p / b.MANIFEST_NAME).write_text("[" * 100_000), "not valid JSON"),
        (lambda p: edit(p, lambda m: m.update(statistics_sha256="0" * 64)), "normalisation statistics"),
        (lambda p: edit(p, lambda m: m["action"].update(rate_hz=5.0)), "spec id"),
        (lambda p: edit(p, lambda m: m.update(surprise=1)), "unknown field"),
        (lambda p: edit(p, lambda m: m["files"].update({"../evil.onnx": m["files"][b.ONNX_NAME]})), "not allowed"),
        (lambda p: edit(p, lambda m: m["files"].update({"evil.pkl": m["files"][b.ONNX_NAME]})), "not allowed"),
        (lambda p: edit(p, lambda m: m.update(format_version=99)), "format"),
    ],
)
def test_a_harmed_bundle_is_refused_in_one_line(made, harm, message):
    harm(made.path)
    with pytest.raises(UserError, match=message) as caught:
        b.read_bundle(made.path)
    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_bundle_is_refused(made, tmp_path):
    outside = tmp_path / "outside.onnx"
    outside.write_bytes(b"weights")
    (made.path / b.ONNX_NAME).unlink()
    (made.path / b.ONNX_NAME).symlink_to(outside)
    with pytest.raises(UserError, match="found none"):
        b.read_bundle(made.path)


def test_another_action_spec_is_refused(made):
    with pytest.raises(UserError, match="action spec"):
        b.read_bundle(made.path, ActionSpec(rate_hz=5.0))


@pytest.mark.parametrize("where", ["", ".partial", ".previous"])
@pytest.mark.parametrize("extra", [False, True])
def test_a_bundle_replaces_bundles_and_nothing_else(tmp_path, where, extra):
    folder = tmp_path / f"mine{where}"
    if extra:
        write(folder)  # a bundle with a file of the user's in it is not only a bundle
    folder.mkdir(exist_ok=True)
    (folder / "thesis.tex").write_text("years of work")
    for write_or_check in (b.check_bundle_place, write):
        with pytest.raises(UserError, match=f"mine{where}: expected nothing there or a policy bundle, found other"):
            write_or_check(tmp_path / "mine")
        assert (folder / "thesis.tex").read_text() == "years of work"


def test_an_existing_bundle_or_what_a_kill_left_of_one_is_replaced(made, tmp_path):
    for left in ("toy.partial", "toy.previous"):
        (tmp_path / left).mkdir()
        (tmp_path / left / MARK).touch()
        (tmp_path / left / b.ONNX_NAME).write_bytes(b"half")
    (tmp_path / "empty").mkdir()
    assert write(tmp_path / "toy", b"better").version != made.version
    assert write(tmp_path / "empty").version == made.version
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "toy", "w.onnx"]


def test_a_kill_between_the_old_bundle_and_the_new_one_loses_neither(made, tmp_path, monkeypatch):
    rename = Path.rename

    def killed(path, target):
        if path.name == "toy.partial":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "toy", b"better")
    assert b.read_bundle(tmp_path / "toy.partial").file(b.ONNX_NAME).read_bytes() == b"better"
    assert b.read_bundle(tmp_path / "toy.previous").version == made.version
    monkeypatch.undo()
    b.check_bundle_place(tmp_path / "toy")
    assert write(tmp_path / "toy", b"best").path.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy", "w.onnx"]


@pytest.mark.parametrize(
    ("content", "message"), [(b"not safetensors", "cannot be read"), (None, "expected 'image' in it, found actions_TD")]
)
def test_a_smoke_observation_that_is_none_is_refused_in_one_line(made, content, message):
    smoke = made.path / b.SMOKE_NAME
    if content is not None:
        smoke.write_bytes(content)
        entry = {"sha256": b.sha256_file(smoke), "bytes": len(content)}
        edit(made.path, lambda m: m["files"].update({b.SMOKE_NAME: entry}))
    with pytest.raises(UserError, match=message) as caught:
        b.read_bundle(made.path).smoke("image")
    assert "\n" not in str(caught.value)
