"""TowerConfig -> the keys of a projector file, as llama.cpp reads them. docs/gguf-keys.md explains each."""

from __future__ import annotations

from .metadata import Entry
from .tower_config import AudioConfig, TowerConfig, VisionConfig

IMAGE_SIZE = 224  # llama.cpp insists on a number; images have any size


def projector_entries(config: TowerConfig) -> list[Entry]:
    entries = [
        Entry("clip.has_vision_encoder", config.vision is not None, "bool"),
        Entry("clip.has_audio_encoder", config.audio is not None, "bool"),
    ]
    if config.vision is not None:
        entries += _vision_entries(config.vision, config.text_hidden)
    if config.audio is not None:
        entries += _audio_entries(config.audio, config.text_hidden)
    return entries


def _vision_entries(vision: VisionConfig, text_hidden: int) -> list[Entry]:
    entries = [
        *_tower_entries("vision", vision, text_hidden),
        Entry("clip.vision.image_size", IMAGE_SIZE, "u32"),
        Entry("clip.vision.patch_size", vision.patch, "u32"),
        Entry("clip.vision.projector.scale_factor", vision.pooling, "u32"),
        # pixels are 0..1 as they are: the tower itself makes -1..1 of them
        Entry("clip.vision.image_mean", [0.0, 0.0, 0.0], "f32"),
        Entry("clip.vision.image_std", [1.0, 1.0, 1.0], "f32"),
    ]
    if vision.layers:
        # without it llama.cpp takes x * sigmoid(1.702 x)
        entries.append(Entry("clip.use_gelu", True, "bool"))
    return entries


def _audio_entries(audio: AudioConfig, text_hidden: int) -> list[Entry]:
    return [
        *_tower_entries("audio", audio, text_hidden),
        Entry("clip.audio.num_mel_bins", audio.features, "u32"),
    ]


def _tower_entries(tower: str, config: VisionConfig | AudioConfig, text_hidden: int) -> list[Entry]:
    return [
        Entry(f"clip.{tower}.projector_type", config.projector, "string"),
        Entry(f"clip.{tower}.projection_dim", text_hidden, "u32"),
        Entry(f"clip.{tower}.embedding_length", config.hidden, "u32"),
        Entry(f"clip.{tower}.feed_forward_length", config.mlp, "u32"),
        Entry(f"clip.{tower}.block_count", config.layers, "u32"),
        Entry(f"clip.{tower}.attention.head_count", config.heads, "u32"),
        Entry(f"clip.{tower}.attention.layer_norm_epsilon", config.eps, "f32"),
    ]
