"""Whole models that see and hear against transformers in float32: from messages with files to logits and tokens."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_media import png, wav
from PIL import Image as Pillow

from g4cpp import Model
from g4cpp.convert import convert

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MAX_NMSE = 1e-8
N_TOKENS = 8


class Pair:
    """One checkpoint in both engines, and its processor."""

    def __init__(self, kind: str, folder: Path, template: str) -> None:
        from media_reference import make_multimodal, make_processor

        checkpoint = make_multimodal(kind, folder / "checkpoint", template)
        self.hears = kind == "multimodal_e"
        self.processor = make_processor(checkpoint, template)
        self.reference = transformers.Gemma4ForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32
        ).eval()
        convert(checkpoint, folder / "m.gguf", type="f32", progress=False, mmproj=folder / "mmproj.gguf")
        self.model = Model(folder / "m.gguf", compute="f32", n_threads=2, n_ctx=2048)

    def inputs(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(
            self.processor.apply_chat_template(
                messages, tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
            )
        )

    @torch.no_grad()
    def logits(self, messages: list[dict[str, Any]]) -> Any:
        return self.reference(**self.inputs(messages)).logits[0].numpy()

    @torch.no_grad()
    def greedy(self, messages: list[dict[str, Any]]) -> list[int]:
        inputs = self.inputs(messages)
        out = self.reference.generate(**inputs, max_new_tokens=N_TOKENS, do_sample=False, eos_token_id=-1)
        return out[0, inputs["input_ids"].shape[1] :].tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=["multimodal_e", "multimodal_k"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, template: str) -> Any:
    made = Pair(request.param, tmp_path_factory.mktemp(request.param), template)
    with made.model:
        yield made


def smooth(seed: int, width: int, height: int) -> bytes:
    """A picture with large shapes, as png."""
    small = Pillow.open(io.BytesIO(png(seed, 6, 5)))
    out = io.BytesIO()
    small.resize((width, height), Pillow.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def messages(hears: bool, own: bool) -> list[dict[str, Any]]:
    def image(seed: int, width: int, height: int) -> dict[str, Any]:
        data = smooth(seed, width, height)
        return {"type": "image", "image": data if own else Pillow.open(io.BytesIO(data))}

    def sound() -> list[dict[str, Any]]:
        data = wav(1.3)
        samples = np.frombuffer(data[44:], "<i2").astype(np.float32) / 32768
        return [{"type": "audio", "audio": data if own else samples}] if hears else []

    first = [image(0, 200, 150), image(1, 90, 160), {"type": "text", "text": "def compare(self, other):"}]
    second = [{"type": "text", "text": "and this"}, *sound(), image(2, 120, 120), {"type": "text", "text": "?"}]
    return [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "return self"},
        {"role": "user", "content": second},
    ]


def test_logits_of_a_whole_prompt(pair: Pair) -> None:
    prompt = pair.model.chat_prompt(messages(pair.hears, own=True))
    expected = pair.logits(messages(pair.hears, own=False)).astype(np.float64)
    found = pair.model.logits(prompt)
    assert len(prompt.media) == 4 if pair.hears else 3
    assert found.shape == expected.shape
    assert ((found - expected) ** 2).sum() / (expected**2).sum() < MAX_NMSE


def test_greedy_tokens(pair: Pair) -> None:
    expected = pair.greedy(messages(pair.hears, own=False))
    options: dict[str, Any] = {"max_tokens": N_TOKENS, "temperature": 0, "ignore_eos": True}
    out = pair.model.chat(messages(pair.hears, own=True), **options)
    assert out.tokens == expected
    ask: Callable[..., Any] = pair.model.chat
    again = ask(messages(pair.hears, own=True), **options)
    assert again.tokens == expected
    assert again.usage.cached_tokens > again.usage.media_tokens
