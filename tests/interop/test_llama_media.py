"""llama.cpp's encoders read our projector files: the same soft tokens as transformers' and as ours, for the same
pixels and samples; and we read files as its converter writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mtmd_samples import Array, Reference, likeness, our_audio, our_image, patches_of, picture, sound
from rewriting import as_llama_converts, swapped_convolution_norms

from g4cpp import _core
from g4cpp.convert import convert

if TYPE_CHECKING:
    from g4cpp.peers.llama_media import LlamaMedia

pytestmark = [pytest.mark.interop, pytest.mark.parity]
KINDS = ("multimodal_e", "multimodal_k", "unified")
# The towers in float32 differ by the order of sums alone; in audio by each one's own mel features, and float16
# tables in llama.cpp's exponentials.
ALIKE = 0.99999
ROUNDED = 0.999  # with weights or activations rounded to 16 or 8 bits


@dataclass
class Files:
    folder: Path
    text: Path
    projector: Path  # in float32
    image: Array  # soft tokens of picture() and sound() by transformers
    audio: Array | None


@pytest.fixture(scope="session")
def llama_media() -> type[LlamaMedia]:
    pytest.importorskip("llama_cpp")
    from g4cpp.peers.llama_media import LlamaMedia

    return LlamaMedia


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Files]:
    """files(kind) -> a converted checkpoint and what the reference makes of the samples."""
    pytest.importorskip("transformers")
    from multimodal_checkpoints import make_multimodal
    from unified_checkpoint import make_unified

    made: dict[str, Files] = {}

    def make(kind: str) -> Files:
        if kind not in made:
            at = tmp_path_factory.mktemp(kind)
            unified = kind == "unified"
            folder = make_unified(at / kind) if unified else make_multimodal(kind, at / kind)
            text, projector = at / "m.gguf", at / "mmproj.gguf"
            convert(folder, text, progress=False, mmproj=projector, mmproj_type="f32")
            reference = Reference(folder, unified)
            image = reference.embed_image(*patches_of(picture(), 48 if unified else 16))
            audio = None if kind == "multimodal_k" else reference.embed_audio(sound())
            made[kind] = Files(folder, text, projector, image, audio)
        return made[kind]

    return make


def embeddings(llama_media: type[LlamaMedia], files: Files, projector: Path) -> tuple[Array, Array | None]:
    with llama_media(files.text, projector, n_threads=2) as peer:
        assert (peer.sees, peer.hears) == (True, files.audio is not None)
        return peer.embed_image(picture()), peer.embed_audio(sound()) if peer.hears else None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type", ["f32", "bf16", "q8_0"])
def test_llama_reads_our_files(
    llama_media: type[LlamaMedia], files: Callable[[str], Files], tmp_path: Path, kind: str, type: str
) -> None:
    made = files(kind)
    projector = made.projector
    if type != "f32":
        from g4cpp.convert import convert_projector

        projector = convert_projector(made.folder, tmp_path / "mm.gguf", type, progress=False).path
    image, audio = embeddings(llama_media, made, projector)
    least = ALIKE if type == "f32" else ROUNDED
    assert likeness(image, made.image) >= least
    if made.audio is not None:
        assert audio is not None
        assert likeness(audio, made.audio) >= least


def encoder(projector: Path, compute: Any = "f32") -> _core.MediaEncoder:
    return _core.MediaEncoder(_core.GgufFile(str(projector)), device="cpu", compute=compute, n_threads=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compute", ["f32", "bf16"])
def test_our_encoders_agree(
    llama_media: type[LlamaMedia], files: Callable[[str], Files], kind: str, compute: str
) -> None:
    made = files(kind)
    image, audio = embeddings(llama_media, made, made.projector)
    ours = encoder(made.projector, compute)
    least = ALIKE if compute == "f32" else ROUNDED
    assert likeness(our_image(ours, picture()), image) >= least
    if audio is not None:
        assert likeness(our_audio(ours, sound()), audio) >= least


@pytest.mark.parametrize("kind", KINDS)
def test_files_as_its_converter_writes_them(
    llama_media: type[LlamaMedia], files: Callable[[str], Files], tmp_path: Path, kind: str
) -> None:
    """The same values; some keys are missing and some matrices are wider (see as_llama_converts)."""
    made = files(kind)
    from g4cpp.convert import convert_projector

    ours = convert_projector(made.folder, tmp_path / "ours.gguf", progress=False).path
    theirs = as_llama_converts(ours, tmp_path / "theirs.gguf")
    assert np.array_equal(our_image(encoder(theirs), picture()), our_image(encoder(ours), picture()))
    image, audio = embeddings(llama_media, made, theirs)
    assert likeness(image, made.image) >= ROUNDED
    if audio is not None:
        assert np.array_equal(our_audio(encoder(theirs), sound()), our_audio(encoder(ours), sound()))
        assert likeness(audio, made.audio) >= ROUNDED  # type: ignore[arg-type]


def test_swapped_norms_show(
    llama_media: type[LlamaMedia], files: Callable[[str], Files], tmp_path: Path
) -> None:
    """The likeness asked for above is out of reach of a file whose convolution norms changed places."""
    made = files("multimodal_e")
    swapped = swapped_convolution_norms(made.projector, tmp_path / "mm.gguf")
    _, audio = embeddings(llama_media, made, swapped)
    assert audio is not None
    assert likeness(audio, made.audio) < ROUNDED  # type: ignore[arg-type]
