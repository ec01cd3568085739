"""Which projector a model takes: named, lying beside it, or none; and the senses that each gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_media import FakeEncoder, asked, png, small, wav, write_projector

from g4cpp import Audio, Model, Video
from g4cpp.errors import ArgumentError, G4Error, GGUFError, ModelError, TemplateError

Tiny = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("fake_encoder")


@pytest.fixture
def folder(tiny: Tiny, tmp_path: Path) -> Path:
    """A folder with a model of its own."""
    path = tmp_path / "gemma-4-tiny-it-Q4_K_M.gguf"
    path.symlink_to(tiny("dense_k", media=True))
    return path


def seen(path: Path, **options: Any) -> Any:
    with Model(path, n_threads=1, **options) as model:
        return model.info.projector


def test_a_projector_beside_the_model_is_found(folder: Path) -> None:
    assert seen(folder) is None
    beside = write_projector(folder.parent / "mmproj-BF16.gguf")
    found = seen(folder)
    assert (found.path, found.vision, found.audio, found.hidden_size) == (str(beside), "gemma4v", "gemma4a", 64)
    assert seen(folder, mmproj=False) is None
    assert not FakeEncoder.calls  # nothing is loaded before the first medium


def test_projectors_that_do_not_fit_are_passed_over(folder: Path) -> None:
    write_projector(folder.parent / "mmproj-other.gguf", hidden=128)
    (folder.parent / "mmproj-broken.gguf").write_bytes(b"GGUF")
    with Model(folder, n_threads=1) as model:
        assert model.info.projector is None
        with pytest.raises(ArgumentError, match=r"no projector .* lies beside.*128 found.*mmproj=FILE"):
            model.prompt([small()])
    write_projector(folder.parent / "a-mmproj.gguf")
    assert seen(folder).path.endswith("a-mmproj.gguf")


def test_of_several_projectors_the_one_named_like_the_model(folder: Path) -> None:
    for name in ("mmproj-gemma-4-tiny-it-F16.gguf", "mmproj-gemma-4-huge-it-F16.gguf"):
        write_projector(folder.parent / name)
    assert seen(folder).path.endswith("mmproj-gemma-4-tiny-it-F16.gguf")
    write_projector(folder.parent / "mmproj-gemma-4-tiny-it-F32.gguf")
    with Model(folder, n_threads=1) as model:
        assert model.info.projector is None
        with pytest.raises(ArgumentError, match=r"3 projectors beside .*tiny-it-F16.gguf.*tiny-it-F32.gguf"):
            model.prompt([small()])
    assert seen(folder, mmproj=folder.parent / "mmproj-gemma-4-huge-it-F16.gguf").path.endswith("huge-it-F16.gguf")


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        ({"hidden": 65}, ModelError, "64 values expected.*65 found"),
        ({"vision": "pixtral"}, ModelError, "gemma4v or gemma4uv expected, 'pixtral' found"),
        ({"audio": "whisper"}, ModelError, "'whisper' found"),
        ({"vision": None, "audio": None}, ModelError, "neither found"),
        ({"arch": "gemma4"}, ModelError, "architecture 'clip'.*a text model"),
    ],
)
def test_projectors_that_are_none(
    made: dict[str, Any], error: type[Exception], message: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        Model(folder, mmproj=write_projector(tmp_path / "x.gguf", **made))


def test_paths_that_are_no_projector(folder: Path, projector: Path, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Model(folder, mmproj="absent.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(GGUFError):
        Model(folder, mmproj=tmp_path / "broken.gguf")
    with pytest.raises(ModelError, match=r"a text model expected, a projector found.*mmproj="):
        Model(projector)
    with pytest.raises(ModelError, match="a text model"):
        Model(folder, mmproj=folder)
    with pytest.raises(ModelError, match="is gemma3"):
        Model(tiny("gemma3"), mmproj=projector)
    with pytest.raises(ArgumentError):
        Model(folder, mmproj=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        ({"audio": None}, Audio(wav(0.2)), "audio: a projector that hears expected"),
        ({"vision": None}, small(), "image: a projector that sees expected"),
        ({"vision": None}, Video("a.mp4"), "video: a projector that sees expected"),
        (None, small(), "mmproj=False"),
    ],
)
def test_senses_that_a_model_lacks(made: Any, given: Any, message: str, folder: Path, tmp_path: Path) -> None:
    mmproj = False if made is None else write_projector(tmp_path / "x.gguf", **made)
    with Model(folder, n_threads=1, mmproj=mmproj) as model, pytest.raises(ArgumentError, match=message):
        model.prompt([given, "hello"])


def test_a_closed_model_sees_nothing(tiny: Tiny, projector: Path) -> None:
    with Model(tiny("dense_k", media=True), mmproj=projector) as model:
        pass
    for call in (lambda: model.embed_image(png()), lambda: model.prompt([small()])):
        with pytest.raises(G4Error, match="closed"):
            call()


def test_a_template_that_knows_texts_alone(tiny: Tiny, projector: Path) -> None:
    """It is given the placeholder as one of the message's texts, and the picture stands where the message has it."""
    plain = "{% for part in messages[0].content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    media = "{% for part in messages[0].content %}{{ part.text if part.type == 'text' else '<|image|>' }}{% endfor %}"
    with Model(tiny("dense_k", media=True), mmproj=projector) as model:
        spelt = asked("see <|image|> ", small(), "hello <|im", small())
        prompts = [model.chat_prompt(spelt, template=template) for template in (plain, media)]
    assert prompts[0].ids == prompts[1].ids
    assert [at for at, *_ in prompts[0].media] == [at for at, *_ in prompts[1].media]
    assert len(prompts[0].media) == 2


def test_a_template_without_pictures(tiny: Tiny, projector: Path) -> None:
    plain = "{{ messages[0].content[1].text }}"
    with (
        Model(tiny("dense_k", media=True), mmproj=projector) as model,
        pytest.raises(TemplateError, match=r"image expected.*none written"),
    ):
        model.chat(asked(small(), "hello"), template=plain)


