"""Prophet: diffusers' Cosmos transformer with actions, action frames and a memory (method.md section 2).

Dimensions: B batch, C latent channel, T latent frame, H W latent height and width, N tokens of one frame, L memory or
text token, D width. Times are of the rectified flow: ``x_t = (1 - t) x_0 + t eps``; the output is ``eps - x_0``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import CosmosTransformer3DModel
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_cosmos import CosmosTransformerBlock
from torch import Tensor, nn

from prophrl_world_model.action_streams import HistoryMemory, PooledFrameStream, ScalarStream, TokenFrameStream
from prophrl_world_model.config import ProphetConfig
from prophrl_world_model.state_head import StateHead

KeyValue = tuple[Tensor, Tensor]  # (B, heads, L, head_dim) each


@dataclass(frozen=True)
class ChunkCondition:
    """What the transformer needs to know of a chunk, computed once and used at every sampling step."""

    known_BT: Tensor  # 1 where the latent frame is given
    shift_D: Tensor | None  # (B, 1 or T, D), added to the timestep embedding
    shift_3D: Tensor | None  # (B, 1 or T, 3 D), added to the adaptive norms' vector
    tokens_BTND: Tensor | None  # added to the tokens
    rotary: tuple[Tensor, Tensor]
    memory: tuple[KeyValue, ...]  # one a block, or none
    text: tuple[KeyValue, ...]  # one a block, or none


def _heads(attention, x_BLD: Tensor) -> Tensor:
    return x_BLD.unflatten(2, (attention.heads, -1)).transpose(1, 2)


def _attend(attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):  # bfloat16: twice as fast as the fused one
        share = ((query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)).softmax(-1)
        x = share @ value
    else:
        x = F.scaled_dot_product_attention(query, key, value)
    return attention.to_out[0](x.transpose(1, 2).flatten(2, 3))


class ProphetBlock(CosmosTransformerBlock):
    """The Cosmos block over tokens (B, T, N, D), with memory in the self-attention and text where there is some."""

    def key_value(self, attention, key_BLD: Tensor, value_BLD: Tensor) -> KeyValue:
        """Keys and values of memory or text tokens: projected and normalised, without rotary positions."""
        return attention.norm_k(_heads(attention, attention.to_k(key_BLD))), _heads(
            attention, attention.to_v(value_BLD)
        )

    def _self_attention(self, x_BLD: Tensor, rotary, memory: KeyValue | None) -> Tensor:
        attention = self.attn1
        query = attention.norm_q(_heads(attention, attention.to_q(x_BLD)))
        key = attention.norm_k(_heads(attention, attention.to_k(x_BLD)))
        value = _heads(attention, attention.to_v(x_BLD))
        query = apply_rotary_emb(query, rotary, use_real=True, use_real_unbind_dim=-2)
        key = apply_rotary_emb(key, rotary, use_real=True, use_real_unbind_dim=-2)
        if memory is not None:
            key, value = torch.cat([memory[0], key], dim=2), torch.cat([memory[1], value], dim=2)
        return _attend(attention, query, key, value)

    def _cross_attention(self, x_BLD: Tensor, text: KeyValue) -> Tensor:
        attention = self.attn2
        return _attend(attention, attention.norm_q(_heads(attention, attention.to_q(x_BLD))), *text)

    def forward(self, x_BTND: Tensor, embedding, modulation, rotary, memory, text) -> Tensor:
        """``embedding`` (B, T, 1, D) and ``modulation`` (B, T, 1, 3 D) as CosmosAdaLayerNormZero takes them."""
        shape = x_BTND.shape
        normed, gate = self.norm1(x_BTND, embedding, modulation)
        x_BTND = x_BTND + gate * self._self_attention(normed.flatten(1, 2), rotary, memory).view(shape)
        if text is not None:
            normed, gate = self.norm2(x_BTND, embedding, modulation)
            x_BTND = x_BTND + gate * self._cross_attention(normed.flatten(1, 2), text).view(shape)
        normed, gate = self.norm3(x_BTND, embedding, modulation)
        return x_BTND + gate * self.ff(normed)


class Prophet(CosmosTransformer3DModel):
    """``condition`` once a chunk, ``forward`` once a sampling step.

    Without actions, action frames and history, and when fresh with the former two, its output is the base's
    to float32 rounding. The adaptive norms are computed once a frame, where the base computes them once a token.
    """

    _no_split_modules = ("ProphetBlock",)
    _keep_in_fp32_modules = None  # the base's learnable position embedding is not there

    def __init__(self, config: ProphetConfig):
        super().__init__(
            in_channels=config.autoencoder.channels + 1, out_channels=config.autoencoder.channels,
            num_attention_heads=config.heads, attention_head_dim=config.head_dim, num_layers=0,
            mlp_ratio=config.mlp_ratio, adaln_lora_dim=config.adaln_dim,
            text_embed_dim=config.text_dim or config.hidden, max_size=config.max_size, rope_scale=config.rope_scale,
            patch_size=(1, config.patch, config.patch), concat_padding_mask=config.padding_channel,
            extra_pos_embed_type=None,
        )  # fmt: skip
        self.register_to_config(num_layers=config.layers)
        self.prophet = config
        self.transformer_blocks = nn.ModuleList(
            ProphetBlock(
                num_attention_heads=config.heads, attention_head_dim=config.head_dim, mlp_ratio=config.mlp_ratio,
                cross_attention_dim=config.text_dim or config.hidden, adaln_lora_dim=config.adaln_dim,
            )
            for _ in range(config.layers)
        )  # fmt: skip
        if config.text_dim is None:
            for block in self.transformer_blocks:
                block.norm2 = block.attn2 = None
        streams = {"pooled": PooledFrameStream, "tokens": TokenFrameStream}
        self.scalar_stream = ScalarStream(config) if config.scalar_stream else None
        self.frame_stream = streams[config.frame_stream](config) if config.frame_stream != "none" else None
        self.memory = HistoryMemory(config) if config.history_order != "none" else None
        self.state_head = StateHead(config.hidden, config.state_objects) if config.state_objects else None

    def to(self, *arguments, **words) -> Prophet:
        """As any module's: diffusers' own warns of layers kept in float32 also where there are none."""
        return nn.Module.to(self, *arguments, **words)

    def condition(
        self,
        known_BT: Tensor,
        actions_BKA: Tensor | None = None,
        action_latents_BCTHW: Tensor | None = None,
        history_BCTHW: Tensor | None = None,
        text_BLE: Tensor | None = None,
    ) -> ChunkCondition:
        """The condition of a batch of chunks; whatever is None is left out. ``history`` is newest first."""
        dtype = self.proj_out.weight.dtype
        shift_D = shift_3D = tokens = None
        if actions_BKA is not None:
            shift_D, shift_3D = self.scalar_stream(actions_BKA.to(dtype))
        if action_latents_BCTHW is not None:
            if isinstance(self.frame_stream, PooledFrameStream):
                frame_D, frame_3D = self.frame_stream(action_latents_BCTHW.to(dtype), known_BT)
                shift_D = frame_D if shift_D is None else shift_D + frame_D
                shift_3D = frame_3D if shift_3D is None else shift_3D + frame_3D
            else:
                tokens = self.frame_stream(action_latents_BCTHW.to(dtype), known_BT)
        memory = text = ()
        if history_BCTHW is not None and history_BCTHW.shape[2]:
            key, value = self.memory(history_BCTHW.to(dtype))
            memory = tuple(block.key_value(block.attn1, key, value) for block in self.transformer_blocks)
        if text_BLE is not None:
            text = tuple(block.key_value(block.attn2, *[text_BLE.to(dtype)] * 2) for block in self.transformer_blocks)
        _, frames, height, width = self.prophet.latent_shape
        shape = torch.empty((1, 1, frames, height, width), device=known_BT.device)
        return ChunkCondition(known_BT, shift_D, shift_3D, tokens, self.rope(shape), memory, text)

    def _embed_time(self, t_BT: Tensor, condition: ChunkCondition, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The normed embedding (B, T, D) and the adaptive norms' vector (B, T, 3 D)."""
        wave = self.time_embed.time_proj((t_BT * self.prophet.time_scale).flatten()).unflatten(0, t_BT.shape).to(dtype)
        modulation = self.time_embed.t_embedder(wave)
        if condition.shift_D is not None:
            wave, modulation = wave + condition.shift_D, modulation + condition.shift_3D
        return self.time_embed.norm(wave), modulation

    def forward(self, x_BCTHW: Tensor, t_BT: Tensor, condition: ChunkCondition) -> Tensor:
        """Velocity (B, C, T, H, W) at times (B, T) in [0, 1]; known frames hold their latents and a time near 0."""
        return self.with_states(x_BCTHW, t_BT, condition)[0]

    def with_states(self, x_BCTHW: Tensor, t_BT: Tensor, condition: ChunkCondition) -> tuple[Tensor, Tensor | None]:
        """The velocity as ``forward``, and the state numbers (B, T, S) of ``state_head``, None without that head."""
        dtype = self.proj_out.weight.dtype
        B, _, T, H, W = x_BCTHW.shape
        channels = [x_BCTHW.to(dtype), condition.known_BT.to(dtype)[:, None, :, None, None].expand(B, 1, T, H, W)]
        if self.prophet.padding_channel:
            channels.append(x_BCTHW.new_zeros((B, 1, T, H, W), dtype=dtype))
        tokens = self.patch_embed(torch.cat(channels, dim=1))
        _, _, rows, columns, _ = tokens.shape
        x = tokens.flatten(2, 3)
        if condition.tokens_BTND is not None:
            x = x + condition.tokens_BTND
        embedding, modulation = (e.unsqueeze(2) for e in self._embed_time(t_BT, condition, dtype))
        for i, block in enumerate(self.transformer_blocks):
            arguments = (
                x, embedding, modulation, condition.rotary,
                condition.memory[i] if condition.memory else None, condition.text[i] if condition.text else None,
            )  # fmt: skip
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                x = self._gradient_checkpointing_func(block, *arguments)
            else:
                x = block(*arguments)
        states = self.state_head(x) if self.state_head is not None else None
        x = self.proj_out(self.norm_out(x, embedding, modulation))
        p = self.prophet.patch
        x = x.unflatten(3, (p, p, -1)).unflatten(2, (rows, columns))  # B T rows columns p p C
        out = x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
        if self.prophet.prediction == "sample":
            out = (x_BCTHW - out) / t_BT[:, None, :, None, None]
        return out, states
