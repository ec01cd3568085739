"""vision_config and audio_config of a Gemma 4 checkpoint's config.json -> TowerConfig, what its projector
file holds.

Source of names and defaults: transformers 5.23, configuration_gemma4 and configuration_gemma4_unified.
E2B, E4B, 26B-A4B and 31B have towers ("gemma4v", "gemma4a"), 12B embeds pixels and samples directly
("gemma4uv", "gemma4ua"). Readers of these files take many settings for granted: one that differs is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from g4cpp.errors import ConversionError

from .hf_config import family_of
from .json_fields import Fields, read_json

MEL_BINS = 128  # of the feature extractor; the audio tower's input
ROPE_THETA = 100.0


@dataclass(frozen=True)
class VisionConfig:
    """Of an image: `patch` pixels a side, then `pooling` x `pooling` patches a token."""

    projector: str  # "gemma4v" or "gemma4uv"
    hidden: int
    patch: int
    pooling: int
    positions: int  # rows of the position table, per axis
    eps: float
    layers: int = 0
    heads: int = 0
    mlp: int = 0
    clipped: bool = False
    standardize: bool = False


@dataclass(frozen=True)
class AudioConfig:
    """Of sound: `features` mel bins a frame, or samples a token ("gemma4ua")."""

    projector: str  # "gemma4a" or "gemma4ua"
    hidden: int
    features: int
    output: int  # what the projection into the text model reads
    eps: float
    layers: int = 0
    heads: int = 0
    mlp: int = 0
    channels: tuple[int, int] = (0, 0)  # of the subsampling convolutions
    kernel: int = 0  # of the depthwise convolution
    clipped: bool = False


@dataclass(frozen=True)
class TowerConfig:
    text_hidden: int
    vision: VisionConfig | None
    audio: AudioConfig | None


def read_tower_config(folder: Path) -> TowerConfig:
    """What `folder`/config.json says of vision and audio. Raises ConversionError naming the setting, and
    when there is neither.
    """
    root = Fields(read_json(folder / "config.json"), "config.json")
    family = family_of(root)
    if family == "gemma3":
        raise root.unsupported("architectures", "a Gemma 4 model, whose projector file can be written,")
    unified = family == "gemma4_unified"
    vision, audio = root.section("vision_config"), root.section("audio_config")
    text = root.section("text_config")
    if text is None or (vision is None and audio is None):
        raise ConversionError(
            "[convert] config.json: vision_config or audio_config expected, none found: "
            "a text-only checkpoint has no projector file"
        )
    return TowerConfig(
        text_hidden=text.integer("hidden_size", 2304),
        vision=vision and (_unified_vision(vision) if unified else _vision(vision)),
        audio=audio and (_unified_audio(audio) if unified else _audio(audio)),
    )


def _vision(vision: Fields) -> VisionConfig:
    _expect_text(vision, "hidden_activation", "gelu_pytorch_tanh")
    if vision.flag("attention_bias", False):
        raise vision.unsupported("attention_bias", "false")
    heads, hidden = vision.integer("num_attention_heads", 12), vision.integer("hidden_size", 768)
    if vision.integer("num_key_value_heads", heads) != heads:
        raise vision.unsupported("num_key_value_heads", f"num_attention_heads ({heads})")
    if hidden % heads != 0 or vision.integer("head_dim", 64) != hidden // heads or hidden // heads % 4 != 0:
        raise vision.unsupported("head_dim", f"hidden_size / num_attention_heads ({hidden} / {heads})")
    rope = vision.section("rope_parameters")
    if rope is not None and rope.number("rope_theta", ROPE_THETA) != ROPE_THETA:
        raise rope.unsupported("rope_theta", f"{ROPE_THETA:g}")
    return VisionConfig(
        projector="gemma4v",
        hidden=hidden,
        patch=vision.integer("patch_size", 16),
        pooling=vision.integer("pooling_kernel_size", 3),
        positions=vision.integer("position_embedding_size", 10 * 1024),
        eps=vision.number("rms_norm_eps", 1e-6),
        layers=vision.integer("num_hidden_layers", 16),
        heads=heads,
        mlp=vision.integer("intermediate_size", 3072),
        clipped=vision.flag("use_clipped_linears", False),
        standardize=vision.flag("standardize", False),
    )


def _unified_vision(vision: Fields) -> VisionConfig:
    hidden = vision.integer("mm_embed_dim", 3840)
    if vision.integer("output_proj_dims", hidden) != hidden:
        raise vision.unsupported("output_proj_dims", f"mm_embed_dim ({hidden})")
    return VisionConfig(
        projector="gemma4uv",
        hidden=hidden,
        patch=vision.integer("patch_size", 16),
        pooling=vision.integer("pooling_kernel_size", 3),
        positions=vision.integer("mm_posemb_size", 1120),
        eps=vision.number("rms_norm_eps", 1e-6),
    )


def _audio(audio: Fields) -> AudioConfig:
    _expect_text(audio, "hidden_act", "silu")
    # chunks of 12 frames that see 12 - 1 = 11 frames before their own; the rest is written into every reader
    for key, value in {"attention_chunk_size": 12, "attention_context_left": 13}.items():
        if audio.integer(key, value) != value:
            raise audio.unsupported(key, str(value))
    constants = {
        "attention_context_right": 0.0,
        "attention_logit_cap": 50.0,
        "attention_invalid_logits_value": -1e9,
        "residual_weight": 0.5,
        "gradient_clipping": 1e10,
        "rms_norm_eps": 1e-6,
    }
    for key, number in constants.items():
        if audio.number(key, number) != number:
            raise audio.unsupported(key, f"{number:g}")
    channels = audio.integers("subsampling_conv_channels") or [128, 32]
    # two convolutions of stride 2: a quarter of the mel bins, which the model counts as channels[0] / 4
    if len(channels) != 2 or channels[0] // 4 != MEL_BINS // 4 or channels[1] < 1:
        raise audio.unsupported("subsampling_conv_channels", f"two sizes, the first {MEL_BINS},")
    heads, hidden = audio.integer("num_attention_heads", 8), audio.integer("hidden_size", 1024)
    if hidden % heads != 0 or hidden % 2 != 0:
        raise audio.unsupported("hidden_size", f"an even multiple of num_attention_heads ({heads})")
    return AudioConfig(
        projector="gemma4a",
        hidden=hidden,
        features=MEL_BINS,
        output=audio.integer("output_proj_dims", 1536),
        eps=1e-6,
        layers=audio.integer("num_hidden_layers", 12),
        heads=heads,
        mlp=4 * hidden,
        channels=(channels[0], channels[1]),
        kernel=audio.integer("conv_kernel_size", 5),
        clipped=audio.flag("use_clipped_linears", True),
    )


def _unified_audio(audio: Fields) -> AudioConfig:
    samples = audio.integer("audio_embed_dim", 640)
    for key in ("hidden_size", "output_proj_dims", "audio_samples_per_token"):
        if audio.integer(key, samples) != samples:
            raise audio.unsupported(key, f"audio_embed_dim ({samples})")
    return AudioConfig(
        projector="gemma4ua",
        hidden=samples,
        features=samples,
        output=samples,
        eps=audio.number("rms_norm_eps", 1e-6),
    )


def _expect_text(fields: Fields, key: str, value: str) -> None:
    if fields.text(key, value) != value:
        raise fields.unsupported(key, value)
