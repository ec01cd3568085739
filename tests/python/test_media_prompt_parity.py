"""Token ids of prompts with media against transformers' Gemma4Processor, for the same messages and files.

The towers' place is taken by a stand-in that gives as many tokens as they would; everything before is the real thing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import VOCAB, save_tokenizer
from fake_media import FakeEncoder, png, wav, write_projector
from PIL import Image as Pillow
from tiny_checkpoint import make_tiny

import g4cpp._core
from g4cpp import Model
from g4cpp.convert import convert
from g4cpp.media.video import time_stamp
from g4cpp.prompt import Clip, assemble

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, template: str) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    make_tiny(folder, "dense_k", config={"vocab_size": VOCAB})
    save_tokenizer(folder)
    (folder / "chat_template.jinja").write_text(template)
    (folder / "generation_config.json").unlink()
    return folder


@pytest.fixture(scope="module")
def processor(folder: Path, template: str) -> Any:
    from media_reference import make_processor

    return make_processor(folder, template)


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = tmp_path_factory.mktemp("model") / "m.gguf"
    convert(folder, path, progress=False)
    mmproj = write_projector(path.parent / "mmproj.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(g4cpp._core, "MediaEncoder", FakeEncoder, raising=False)
        with Model(path, n_threads=1, mmproj=mmproj, n_ctx=64) as model:
            yield model


def image(seed: int, width: int, height: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A part as we take it, and as the reference does."""
    data = png(seed, width, height)
    return {"type": "image", "image": data}, {"type": "image", "image": Pillow.open(io.BytesIO(data))}


def audio(seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    data = wav(seconds)
    samples = np.frombuffer(data[44:], "<i2").astype(np.float32) / 32768
    return {"type": "audio", "audio": data}, {"type": "audio", "audio": samples}


def text(content: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return ({"type": "text", "text": content},) * 2


CASES: dict[str, list[Any]] = {
    "image first": [image(0, 224, 224), text("What is this?")],
    "image last": [text(" def main():\n    return "), image(1, 300, 97)],
    "two images side by side": [image(0, 96, 64), image(1, 64, 200), text("compare")],
    "an image alone": [image(2, 640, 480)],
    "images between texts": [text("first"), image(0, 50, 50), text(" and then "), image(1, 49, 500), text("?")],
    "sound": [audio(1.234), text("say it again")],
    "short sound and an image": [text("x"), audio(0.1), image(0, 100, 100)],
    "two sounds": [audio(0.5), audio(3.01)],
}


def last(own: bool, case: str) -> list[dict[str, Any]]:
    return [part[0 if own else 1] for part in CASES[case]]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("thinking", [False, True])
def test_ids_of_messages(case: str, thinking: bool, model: Model, processor: Any) -> None:
    def messages(own: bool) -> list[dict[str, Any]]:
        return [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": last(own, "image first")},
            {"role": "assistant", "content": "a picture"},
            {"role": "user", "content": last(own, case)},
        ]

    reference = processor.apply_chat_template(
        messages(False), tokenize=True, return_dict=True, add_generation_prompt=True, enable_thinking=thinking
    )
    prompt = model.chat_prompt(messages(True), thinking=thinking)
    expected = np.ravel(reference["input_ids"]).tolist()
    assert prompt.ids == expected
    of_media = [token for token in expected if token in (processor.image_token_id, processor.audio_token_id)]
    assert prompt.n_media_tokens == len(of_media)
    for begin, rows, _, _ in prompt.media:
        assert len(set(prompt.ids[begin : begin + len(rows)])) == 1


@pytest.mark.parametrize("tokens", [70, 140, 560, 1120])
def test_ids_of_budgets(tokens: int, model: Model, processor: Any) -> None:
    own, theirs = image(3, 517, 333)
    reference = processor(
        text="a <|image|> b", images=[theirs["image"]], images_kwargs={"max_soft_tokens": tokens}
    )
    prompt = model.prompt(["a ", own | {"tokens": tokens}, " b"])
    assert prompt.ids[1:] == np.ravel(reference["input_ids"]).tolist()


def test_ids_of_a_video(model: Model, processor: Any) -> None:
    metadata = transformers.video_utils.VideoMetadata(
        total_num_frames=5000, fps=24.0, frames_indices=[0, 1463, 2927, 4999]
    )
    inputs = {"num_soft_tokens_per_video": [6], "video_metadata": [metadata]}
    expected = processor.tokenizer("see " + processor.replace_video_token(inputs, 0) + " now")["input_ids"]
    rows = np.zeros((6, 64), np.float32)
    clips = [Clip("video", rows, place, time_stamp(at)) for place, at in enumerate(metadata.timestamps)]
    prompt = assemble(["see ", clips, " now"], "\ue000", model.tokenizer, False)
    assert prompt.ids == expected
    assert len(prompt.media) == 4
