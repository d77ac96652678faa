"""Training goes on with the same losses after a kill, LoRA ends up in the weights, and a lack of memory is one line."""

import dataclasses

import pytest
import torch
from prophrl_core.errors import UserError
from prophrl_training import adapt_prophet
from prophrl_training.adapt_prophet import ProphetTrainer, ProphetTraining
from prophrl_training.prophet_clips import ClipChain, ClipDataset
from prophrl_world_model import checkpoints
from prophrl_world_model.autoencoder import VideoAutoencoder
from prophrl_world_model.prophet import Prophet

SHORT = ProphetTraining(steps=6, batch=2, warm_up=2, save_every=2, averaging=0.5)


def fresh(config) -> Prophet:
    torch.manual_seed(0)
    return Prophet(config)


def clips(config) -> ClipDataset:
    g = torch.Generator().manual_seed(0)
    latents = torch.randn(3, *config.latent_shape, generator=g)
    return ClipDataset([ClipChain(latents, torch.randn(3, config.chunk_steps, 14, generator=g), latents)], config)


class Killed(Exception):
    pass


@pytest.mark.parametrize("lora_rank", [None, 4])
def test_a_killed_run_goes_on_with_the_same_losses(miniature, tmp_path, lora_rank):
    config, training = miniature(text_dim=None), dataclasses.replace(SHORT, lora_rank=lora_rank)
    autoencoder = VideoAutoencoder(config.autoencoder)

    def run(folder, kill_after=None):
        losses = {}

        def progress(step, loss):
            losses[step] = loss
            if step == kill_after:
                raise Killed

        result = adapt_prophet.train(fresh(config), autoencoder, clips(config), training, folder, {}, progress)
        return losses, result

    whole, result = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", kill_after=5)
    rest, again = run(tmp_path / "killed")
    assert list(rest) == [5, 6], "the last state written was after step 4"
    assert all(rest[step] == whole[step] for step in rest)
    stored, _ = checkpoints.load(tmp_path / "killed")
    for name, value in result.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]) and torch.equal(value, stored.state_dict()[name]), name
    assert any(not torch.equal(v, fresh(config).state_dict()[k]) for k, v in stored.state_dict().items())


def test_merged_lora_imagines_what_the_adapter_did(miniature):
    config = miniature(text_dim=None)
    data = clips(config)
    trainer = ProphetTrainer(fresh(config), data, dataclasses.replace(SHORT, lora_rank=4, averaging=0.0))
    for _ in range(3):
        trainer.step()
    batch = data.batch(9, 9, 2)
    known = torch.tensor([[1.0, 0.0, 0.0]] * 2)

    def velocity(model):
        with torch.no_grad():
            condition = model.condition(known, batch.actions_BKA, batch.action_latents_BCThw)
            return model(batch.latents_BCThw, torch.full((2, 3), 0.5), condition)

    assert all(torch.equal(v, trainer.average.weights[k]) for k, v in trainer.model.state_dict().items()), "averaging 0"
    adapted = velocity(trainer.model.eval())
    torch.testing.assert_close(velocity(trainer.result()), adapted, rtol=1e-4, atol=1e-5)


def test_what_cannot_go_on_is_one_line(miniature, tmp_path, monkeypatch):
    config = miniature(text_dim=None)
    trainer = ProphetTrainer(fresh(config), clips(config), SHORT)
    trainer.save(tmp_path)
    with pytest.raises(UserError, match="choose another folder"):
        ProphetTrainer(fresh(config), clips(config), dataclasses.replace(SHORT, seed=1)).resume(tmp_path)
    others = ClipDataset(clips(config).chains, config, contact_share=0.5)
    with pytest.raises(UserError, match=r"other settings or clips .data.; choose another folder"):
        ProphetTrainer(fresh(config), others, SHORT).resume(tmp_path)
    for number, content in enumerate((b"", b"\x80\x04K\x01.", b"PK\x03\x04 not a zip")):
        damaged = tmp_path / str(number)
        damaged.mkdir()
        (damaged / adapt_prophet.STATE).write_bytes(content)
        with pytest.raises(UserError, match="expected the state of a training run") as refused:
            ProphetTrainer(fresh(config), clips(config), SHORT).resume(damaged)
        assert "\n" not in str(refused.value)

    def full(*arguments):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(adapt_prophet, "flow_matching_loss", full)
    with pytest.raises(UserError, match="use gradient checkpointing"):
        trainer.step()
    frugal = dataclasses.replace(SHORT, gradient_checkpointing=True)
    with pytest.raises(UserError, match="use a batch of 1"):
        ProphetTrainer(fresh(config), clips(config), frugal).step()
