"""Prompts with images and audio against transformers, whose own encoders give the soft tokens.

Two images with text between, one of them longer than the sliding window of 128 and than the micro-batch, one clip of
audio where the model hears: the logits of every position.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkpoints import VOCAB
from multimodal_checkpoints import MULTIMODAL, TOKEN, make_multimodal
from numpy.typing import NDArray

from g4cpp import _core
from g4cpp.convert import convert

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from reference import ATTENTION, as_array, float64_products, nmse  # noqa: E402

Array = NDArray[np.float32]
F32_END, BF16_END = 1e-8, 1.2  # the latter in floors
GRIDS = [(36, 36), (15, 12)]  # patches: 144 and 20 soft tokens
AUDIO_FRAMES = 200
ROOM = 160


@dataclass
class Soft:
    """What the reference's encoders gave: rows [n, hidden] of each image and of the clip."""

    images: list[Any]
    audio: Any | None


class Reference:
    """The multimodal model in one type."""

    def __init__(self, folder: Path, dtype: Any) -> None:
        from transformers import Gemma4ForConditionalGeneration

        load = Gemma4ForConditionalGeneration.from_pretrained
        self.model = load(folder, dtype=dtype, attn_implementation=ATTENTION).eval()
        self.dtype = dtype
        random = torch.Generator().manual_seed(5)
        most = max(cols * rows for cols, rows in GRIDS)
        self.pixels = torch.rand((len(GRIDS), most, 768), generator=random).to(dtype)
        self.places = torch.full((len(GRIDS), most, 2), -1)
        for i, (cols, rows) in enumerate(GRIDS):
            y, x = np.indices((rows, cols))
            self.places[i, : cols * rows] = torch.tensor(np.stack([x.ravel(), y.ravel()], -1))
        self.features = torch.randn((1, AUDIO_FRAMES, 128), generator=random).to(dtype)

    @property
    def hears(self) -> bool:
        return self.model.config.audio_config is not None

    def encode(self) -> Soft:
        with torch.no_grad():
            images = self.model.model.get_image_features(self.pixels, self.places, return_dict=True).pooler_output
            if not self.hears:
                return Soft(list(images), None)
            heard = self.model.model.get_audio_features(
                self.features, torch.ones(1, AUDIO_FRAMES, dtype=torch.bool), return_dict=True
            )
            return Soft(list(images), heard.pooler_output[heard.attention_mask])

    @contextmanager
    def encoders_give(self, soft: Soft) -> Iterator[None]:
        """So that the comparison's floor is that of the text model alone."""
        inner = self.model.model
        inner.get_image_features = lambda *_, **__: SimpleNamespace(pooler_output=tuple(soft.images))
        if soft.audio is not None:
            mask = torch.ones(1, len(soft.audio), dtype=torch.bool)
            inner.get_audio_features = lambda *_, **__: SimpleNamespace(
                pooler_output=soft.audio[None], attention_mask=mask
            )
        yield
        del inner.get_image_features
        if soft.audio is not None:
            del inner.get_audio_features

    def logits(self, ids: list[int], soft: Soft) -> Array:
        tokens = torch.tensor([ids])
        types = (tokens == TOKEN["<|image|>"]).long() + 3 * (tokens == TOKEN["<|audio|>"]).long()
        given: dict[str, Any] = {"pixel_values": self.pixels, "image_position_ids": self.places}
        if soft.audio is not None:
            given |= {
                "input_features": self.features,
                "input_features_mask": torch.ones(1, AUDIO_FRAMES, dtype=torch.bool),
            }
        with self.encoders_give(soft), torch.no_grad():
            return as_array(self.model(input_ids=tokens, mm_token_type_ids=types, **given).logits[0])


def prompt(soft: Soft, contiguous: bool) -> tuple[list[int], list[_core.Media]]:
    """The ids as transformers wants them, and the engine's media. `contiguous`: the images touch."""
    random = np.random.default_rng(2)
    ids: list[int] = [2]
    media: list[Any] = []

    def text(n: int) -> None:
        ids.extend(random.integers(24, VOCAB, n).tolist())

    def soft_tokens(rows: Any, token: str, content: int, block: bool) -> None:
        media.append((len(ids), as_array(rows), content, block))
        ids.extend([TOKEN[token]] * len(rows))

    text(30)
    for i, rows in enumerate(soft.images):
        if not contiguous:
            ids.append(TOKEN["<|image>"])
        soft_tokens(rows, "<|image|>", i, True)
        if not contiguous:
            ids.append(TOKEN["<image|>"])
            text(7)
    if soft.audio is not None:
        ids.append(TOKEN["<|audio>"])
        soft_tokens(soft.audio, "<|audio|>", 9, False)
        ids.append(TOKEN["<audio|>"])
    text(40)
    return ids, media


@dataclass
class Case:
    folder: Path
    file: _core.GgufFile

    @cached_property
    def f32(self) -> tuple[Reference, Soft]:
        reference = Reference(self.folder, torch.float32)
        return reference, reference.encode()

    def logits(self, ids: list[int], media: list[Any], compute: str, **options: Any) -> Array:
        options = {"n_ctx": 512, "micro_batch": 64, "max_media_span": 180} | options
        engine = _core.Engine(self.file, compute=compute, **options)
        return engine.logits(ids, range(len(ids)), media=media)


@pytest.fixture(scope="module", params=MULTIMODAL)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    make_multimodal(request.param, folder)
    convert(folder, folder / "model.gguf", progress=False)
    return Case(folder, _core.GgufFile(str(folder / "model.gguf")))


@pytest.mark.parametrize("contiguous", [False, True])
def test_f32_logits(case: Case, contiguous: bool) -> None:
    reference, soft = case.f32
    ids, media = prompt(soft, contiguous)
    assert len(media[0][1]) > 128
    assert len(media) == (3 if reference.hears else 2)
    theirs = reference.logits(ids, soft)
    for micro_batch in (64, 512):
        assert nmse(case.logits(ids, media, "f32", micro_batch=micro_batch), theirs) <= F32_END


def test_the_key_decides(case: Case) -> None:
    """Causal where it should not be, and the other way round, is far off: the comparison above can fail."""
    reference, soft = case.f32
    ids, media = prompt(soft, contiguous=False)
    causal = [(begin, rows, content, False) for begin, rows, content, _ in media]
    error = nmse(case.logits(ids, causal, "f32"), reference.logits(ids, soft))
    assert error <= F32_END if reference.hears else error > 1e-4


def test_bf16_logits(case: Case) -> None:
    reference = Reference(case.folder, torch.bfloat16)
    soft = reference.encode()
    ids, media = prompt(soft, contiguous=False)
    theirs = reference.logits(ids, soft)
    with float64_products():
        floor = nmse(reference.logits(ids, soft), theirs)
    assert 1e-5 < floor < 1e-3
    assert nmse(case.logits(ids, media, "bf16"), theirs) <= BF16_END * floor


def test_the_cache_after_media(case: Case) -> None:
    """Decoding after the prompt: the reference computes it whole."""
    reference, soft = case.f32
    ids, media = prompt(soft, contiguous=False)
    theirs = reference.logits(ids, soft)
    engine = _core.Engine(case.file, compute="f32", n_ctx=512, micro_batch=64, max_media_span=ROOM)
    engine.prefill(ids[:-30], media=media)
    rows = [engine.last_logits()]
    for token in ids[-30:]:
        engine.decode(token)
        rows.append(engine.last_logits())
    assert nmse(np.stack(rows), theirs[-31:]) <= F32_END
