"""The tiny checkpoints with towers are what transformers would save, and real saved ones convert exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from test_convert_projector import as_stored, close, gguf_name
from tiny_checkpoint import CONFIGS
from tiny_towers import AUDIO, TEXT, VISION, tower_shapes

from g4cpp.convert import convert

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# What transformers calls the tensors of the unified embedder once they are loaded -> in checkpoints.
LOADED = {
    "embed_vision.multimodal_embedder.": "embed_vision.",
    "embed_vision.pa": "vision_embedder.pa",
    "embed_vision.pos": "vision_embedder.pos",
}


def model_of(variant: str) -> Any:
    family = "Gemma4Unified" if variant == "u" else "Gemma4"

    def part(name: str, settings: dict[str, Any] | None) -> Any:
        if settings is None:
            return None
        known = {key: value for key, value in settings.items() if key not in ("architectures", "model_type")}
        return getattr(transformers, f"{family}{name}Config")(**known)

    config = getattr(transformers, f"{family}Config")(
        text_config=part("Text", CONFIGS[TEXT[variant]]),
        vision_config=part("Vision", VISION[variant]),
        audio_config=part("Audio", AUDIO.get(variant)),
    )
    with torch.device("meta"):
        return getattr(transformers, f"{family}ForConditionalGeneration")(config)


@pytest.mark.parametrize("variant", VISION)
def test_tiny_checkpoints_have_the_reference_tensors(variant: str) -> None:
    found = {}
    for name, value in model_of(variant).state_dict().items():
        for loaded, stored in LOADED.items() if variant == "u" else ():
            name = name.replace(loaded, stored)  # noqa: PLW2901
        if "language_model" not in name and name != "lm_head.weight":
            found[name] = tuple(value.shape)
    assert tower_shapes(variant) == found


@pytest.mark.parametrize("kind", ["multimodal_e", "unified"])
def test_saved_checkpoints_convert_exactly(tmp_path: Path, kind: str) -> None:
    from multimodal_checkpoints import make_multimodal
    from safetensors.torch import load_file
    from unified_checkpoint import make_unified

    folder = tmp_path / kind
    if kind == "unified":
        make_unified(folder)
    else:
        make_multimodal(kind, folder)
    convert(folder, tmp_path / "m.gguf", progress=False, mmproj=tmp_path / "mm.gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "mm.gguf").tensors}
    state = load_file(folder / "model.safetensors")
    towers = {name: value for name, value in state.items() if "language_model" not in name}
    assert len(tensors) == len(towers)
    for source, value in towers.items():
        name, expected = gguf_name(source), as_stored(source, value.float().numpy())
        tensor = tensors[name]
        raw = np.ascontiguousarray(tensor.data).view(np.uint8)
        assert close(gguf.quants.dequantize(raw, tensor.tensor_type).reshape(expected.shape), expected, name), name
