"""What a Prophet is: sizes of transformer and autoencoder, and how a chunk reaches them (method.md section 2)."""

import dataclasses

from prophrl_core.errors import UserError, check_whole_numbers

ACTION_DIMS = 7  # per arm: translation, rotation, openness
TEMPORAL_STRIDE = 4  # of the video autoencoder: a first frame alone, then four by four
SPATIAL_STRIDES = (8, 16)


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """diffusers' ``AutoencoderKLWan``, by default Wan 2.1; ``mean`` and ``std``, per channel, make latents unit.

    ``pixel_patch`` folds pixels into channels first, as Wan 2.2 does; ``dim_mult`` then has one entry fewer for each
    halving, and the whole costs a fraction. Space shrinks by 8 or 16, time by 4.
    """

    pixel_patch: int = 1
    base_dim: int = 96
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    residual_blocks: int = 2
    channels: int = 16
    mean: tuple[float, ...] = (
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    )  # fmt: skip
    std: tuple[float, ...] = (
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    )  # fmt: skip

    def __post_init__(self):
        ranges = {"pixel_patch": (self.pixel_patch, 1, 16), "base_dim": (self.base_dim, 1, 512)}
        ranges |= {"residual_blocks": (self.residual_blocks, 1, 8), "channels": (self.channels, 1, 512)}
        ranges |= {f"dim_mult[{i}]": (m, 1, 32) for i, m in enumerate(self.dim_mult[:8])}
        check_whole_numbers("autoencoder", ranges)
        if self.stride not in SPATIAL_STRIDES or len(self.dim_mult) < 3:
            raise UserError(
                f"autoencoder: expected pixel_patch and the halvings of dim_mult to shrink by 8 or 16, got "
                f"{self.pixel_patch} and {len(self.dim_mult) - 1} halvings; correct the config"
            )

        lengths = {name: len(getattr(self, name)) for name in ("mean", "std")}
        if set(lengths.values()) != {self.channels}:
            raise UserError(
                f"autoencoder: expected {self.channels} numbers, one a channel, for each of {', '.join(lengths)}, got "
                f"{list(lengths.values())}; correct the config"
            )

    @property
    def stride(self) -> int:
        """Pixels along one side of a latent."""
        return self.pixel_patch * 2 ** (len(self.dim_mult) - 1)

    @property
    def halves_time(self) -> tuple[bool, ...]:
        """For each halving of space, whether it halves time as well: the last two do."""
        halvings = len(self.dim_mult) - 1
        return tuple(i >= halvings - 2 for i in range(halvings))


@dataclasses.dataclass(frozen=True)
class PatchesConfig:
    """Sizes of ``PatchAutoencoder``: pixels along a patch, components kept of it."""

    patch: int = 8
    channels: int = 96

    def __post_init__(self):
        check_whole_numbers("patch autoencoder", {"patch": (self.patch, 1, 16), "channels": (self.channels, 0, 768)})
        if self.patch not in SPATIAL_STRIDES or not 1 <= self.channels <= 3 * self.patch**2:
            raise UserError(
                f"patch autoencoder: expected patches of 8 or 16 pixels and 1 to {3 * self.patch**2} channels, got "
                f"{self.patch} and {self.channels}; correct the config"
            )

    @property
    def stride(self) -> int:
        """Pixels along one side of a latent."""
        return self.patch


@dataclasses.dataclass(frozen=True)
class ProphetConfig:
    """One architecture at every size.

    ``text_dim`` None leaves the text cross-attention out, which equals zero text embeddings (there are no biases).
    ``frame_stream`` "pooled" is the paper's vector a frame; "tokens" adds the action frames to the tokens of the same
    place. ``frame_encoding`` "autoencoder" is the paper's; "folded" draws them small and stacks pixels and time
    into channels, exact and nearly free. ``history_order`` is the order in which the memory was
    trained: "newest_first", or "chronological" as the released weights. ``action_scale`` multiplies the seven action
    dimensions and ``rotation`` says how a rotation is written, both on the way into the scalar stream. ``frame_fold``
    is how many pixels of a folded action frame lie along one side of a latent. With ``state_objects`` above 0 a head
    reads so many objects, contact and success out of the tokens; it shapes the trunk, and is not part of the base.
    ``prediction`` says what the last layer gives, the flow's "velocity" as the base, or the "sample" it leads to, which
    a small network learns sooner.
    """

    name: str
    height: int
    width: int
    chunk_steps: int = 20
    rate_hz: float = 10.0
    arms: int = 2
    action_scale: tuple[float, ...] = (1.0,) * ACTION_DIMS
    rotation: str = "rotvec"  # or euler_xyz
    scalar_stream: bool = True
    frame_stream: str = "pooled"  # or tokens, none
    frame_encoding: str = "autoencoder"  # or folded
    frame_fold: int = 2
    state_objects: int = 0
    history_order: str = "newest_first"  # or chronological, none
    history_frames: int = 18  # latent frames kept, three chunks
    memory_pools: tuple[int, ...] = (2, 4, 8)
    memory_tokens: int = 1024
    heads: int = 16
    head_dim: int = 128
    layers: int = 28
    mlp_ratio: float = 4.0
    adaln_dim: int = 256
    text_dim: int | None = 1024
    patch: int = 2
    max_size: tuple[int, int, int] = (128, 240, 240)
    rope_scale: tuple[float, float, float] = (1.0, 3.0, 3.0)
    padding_channel: bool = True
    time_scale: float = 1.0
    prediction: str = "velocity"  # or sample
    autoencoder: AutoencoderConfig | PatchesConfig = AutoencoderConfig()

    def __post_init__(self):
        check_whole_numbers(
            f"Prophet {self.name}",
            {
                "height": (self.height, 8, 4096), "width": (self.width, 8, 4096), "heads": (self.heads, 1, 256),
                "chunk_steps": (self.chunk_steps, 1, 400), "head_dim": (self.head_dim, 2, 1024),
                "layers": (self.layers, 1, 256), "adaln_dim": (self.adaln_dim, 1, 8192), "arms": (self.arms, 1, 8),
                "patch": (self.patch, 1, 16), "frame_fold": (self.frame_fold, 1, 16),
                "state_objects": (self.state_objects, 0, 64), "history_frames": (self.history_frames, 0, 10_000),
                "memory_tokens": (self.memory_tokens, 1, 100_000),
            },
        )  # fmt: skip
        stride = self.autoencoder.stride
        unit = stride * self.patch
        pools = max(self.memory_pools) * stride
        checks = [
            ("height and width", f"multiples of {unit}", (self.height, self.width),
             self.height % unit == 0 and self.width % unit == 0),
            ("chunk_steps", f"a multiple of {TEMPORAL_STRIDE}", self.chunk_steps,
             self.chunk_steps % TEMPORAL_STRIDE == 0),
            ("rotation", "rotvec or euler_xyz", self.rotation, self.rotation in ("rotvec", "euler_xyz")),
            ("frame_stream", "pooled, tokens or none", self.frame_stream,
             self.frame_stream in ("pooled", "tokens", "none")),
            ("frame_encoding", "autoencoder or folded", self.frame_encoding,
             self.frame_encoding in ("autoencoder", "folded")),
            ("history_order", "newest_first, chronological or none", self.history_order,
             self.history_order in ("newest_first", "chronological", "none")),
            ("frame_encoding", "folded, where latents are changes", self.frame_encoding,
             self.frame_encoding == "folded" or self.frame_stream == "none" or not self.codes_changes),
            ("prediction", "velocity or sample", self.prediction, self.prediction in ("velocity", "sample")),
            ("action_scale", f"{ACTION_DIMS} numbers", self.action_scale, len(self.action_scale) == ACTION_DIMS),
            ("memory_pools", f"at most the latent size ({min(self.height, self.width) // stride})",
             self.memory_pools, self.history_order == "none" or pools <= min(self.height, self.width)),
        ]  # fmt: skip
        for field, expected, got, good in checks:
            if not good:
                raise UserError(
                    f"Prophet {self.name}: expected {field} to be {expected}, got {got}; correct the config"
                )

    @property
    def codes_changes(self) -> bool:
        """Whether later latents say what changes since the given frame, rather than what there is."""
        return isinstance(self.autoencoder, PatchesConfig)

    @property
    def hidden(self) -> int:
        """Width of the transformer."""
        return self.heads * self.head_dim

    @property
    def action_frame_channels(self) -> int:
        """Channels of encoded action frames."""
        if self.frame_encoding == "autoencoder":
            return self.autoencoder.channels
        return 3 * TEMPORAL_STRIDE * self.frame_fold**2

    @property
    def latent_frames(self) -> int:
        """Latent frames of one clip: the conditioning frame and the chunk's."""
        return 1 + self.chunk_steps // TEMPORAL_STRIDE

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(channels, frames, height, width) of one clip's latents."""
        return (
            self.autoencoder.channels, self.latent_frames,
            self.height // self.autoencoder.stride, self.width // self.autoencoder.stride,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict) -> "ProphetConfig":
        """Strict inverse of ``dataclasses.asdict``, also after JSON."""
        if not isinstance(data, dict):
            raise UserError(f"Prophet config: expected a JSON object, got {type(data).__name__}; rewrite the manifest")
        data = dict(data)
        nested = data.pop("autoencoder", {})
        kind = PatchesConfig if isinstance(nested, dict) and "patch" in nested else AutoencoderConfig
        return _strict(cls, {**data, "autoencoder": _strict(kind, nested)})


def _strict(cls, data: dict):
    """A dataclass from JSON values: lists become tuples; unknown or missing fields are named."""
    known = {f.name for f in dataclasses.fields(cls)}
    if not isinstance(data, dict) or set(data) != known:
        wrong = sorted(set(data) ^ known) if isinstance(data, dict) else type(data).__name__
        raise UserError(
            f"{cls.__name__}: expected exactly its {len(known)} fields, differing in {wrong}; rewrite the manifest"
        )
    try:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
    except (TypeError, ValueError) as error:
        raise UserError(f"{cls.__name__}: expected values that fit its fields ({error}); rewrite the manifest") from None


OUR_ACTIONS = (50.0, 50.0, 50.0, 10.0, 10.0, 10.0, 1.0)  # 2 cm and 0.1 rad become 1

CONFIGS = {
    config.name: config
    for config in (
        # The released weights: Cosmos-Predict2-2B-Video2World (diffusers' conversion script) and the three streams.
        ProphetConfig("prophet-2b", 256, 256, rotation="euler_xyz", history_order="chronological"),
        # One GPU: 141 M parameters, the same autoencoder.
        ProphetConfig(
            "prophet-small", 256, 256, heads=12, head_dim=64, layers=16, adaln_dim=128, text_dim=None,
            padding_channel=False, frame_stream="tokens", frame_encoding="folded", action_scale=OUR_ACTIONS,
            time_scale=1000.0,
        ),
        # Two CPU cores. A chunk is what a policy carries out before it looks again; 64 tokens a frame.
        ProphetConfig(
            "prophet-tiny", 64, 64, chunk_steps=8, heads=4, head_dim=64, layers=6, mlp_ratio=3.0, adaln_dim=64,
            text_dim=None, padding_channel=False, frame_stream="tokens", frame_encoding="folded", frame_fold=4,
            action_scale=OUR_ACTIONS, arms=1, time_scale=1000.0, patch=1, state_objects=2, history_frames=9,
            prediction="sample", autoencoder=PatchesConfig(),
        ),
    )
}  # fmt: skip


def named(name: str) -> ProphetConfig:
    """The configuration called ``name``; UserError when there is none such."""
    if name not in CONFIGS:
        raise UserError(f"expected a Prophet called {', '.join(CONFIGS)}, got {name!r}; choose one of them")
    return CONFIGS[name]
