"""The real Gemma 3 270M, Q4_K_M: greedy text and perplexity against llama.cpp.

llama.cpp rounds activations to int8 for quantised weights, which moves this model's logits by about 0.17 (rms),
and by different amounts for a batch and for one token; its greedy text turns on that wherever the two best
tokens are closer. So there are two comparisons. With the same weights written out as F32 llama.cpp has nothing
to round to, and the text must be ours, but for ties within 1e-2. With the file as it is, a difference must be
one that this rounding explains: llama.cpp, when it does not round, chooses our token too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from comparing import nmse
from numpy.typing import NDArray
from rewriting import dequantised
from texts import PROMPTS, documentation

from g4cpp import Model

if TYPE_CHECKING:
    from g4cpp.peers.llama_cpp import LlamaPeer

pytestmark = pytest.mark.interop
N_TOKENS = 64
TIE = 1e-2
N_THREADS = 2


@dataclass
class Sample:
    """A prompt, our continuation in f32 mode, and the logits behind each of its tokens, [N_TOKENS, n_vocab]."""

    prompt: list[int]
    tokens: list[int]
    f32: NDArray[np.float32]
    bf16: NDArray[np.float32]
    exact: NDArray[np.float32]
    """llama.cpp's, with the weights as F32."""
    rounded: NDArray[np.float32]
    """llama.cpp's, with the file as it is."""
    peer_tokens: list[int]
    """llama.cpp's own greedy continuation, with the file as it is."""


def rows(logits: NDArray[np.float32], prompt: list[int]) -> NDArray[np.float32]:
    return logits[len(prompt) - 1 :].copy()


@pytest.fixture(scope="module")
def exact_file(gemma3_270m: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = dequantised(gemma3_270m, tmp_path_factory.mktemp("exact") / "m.gguf")
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def samples(llama: type[LlamaPeer], gemma3_270m: Path, exact_file: Path) -> list[Sample]:
    with Model(gemma3_270m, compute="f32", n_ctx=256) as model:
        prompts = [model.tokenize(text) for text in PROMPTS]
        tokens = [greedy(model, prompt) for prompt in prompts]
        fed = [prompt + text[:-1] for prompt, text in zip(prompts, tokens, strict=True)]
        f32 = [rows(model.logits(ids), prompt) for ids, prompt in zip(fed, prompts, strict=True)]
    with Model(gemma3_270m, compute="bf16", n_ctx=256) as model:
        bf16 = [rows(model.logits(ids), prompt) for ids, prompt in zip(fed, prompts, strict=True)]
    with llama(exact_file, n_ctx=256, n_threads=N_THREADS) as peer:
        exact = [rows(peer.logits(ids), prompt) for ids, prompt in zip(fed, prompts, strict=True)]
    with llama(gemma3_270m, n_ctx=256, n_threads=N_THREADS) as peer:
        assert prompts == [peer.tokenize(text) for text in PROMPTS]
        rounded = [rows(peer.logits(ids), prompt) for ids, prompt in zip(fed, prompts, strict=True)]
        peer_tokens = [peer.greedy(prompt, N_TOKENS) for prompt in prompts]
    return [Sample(*parts) for parts in zip(prompts, tokens, f32, bf16, exact, rounded, peer_tokens, strict=True)]


def greedy(model: Model, prompt: list[int]) -> list[int]:
    return model.generate(prompt, max_tokens=N_TOKENS, temperature=0.0, ignore_eos=True).tokens


def gap(row: NDArray[np.float32]) -> float:
    """Between the two best."""
    second, best = np.partition(row, -2)[-2:]
    return float(best - second)


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    return next((i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]), None)


def test_the_same_text_from_the_same_weights(samples: list[Sample]) -> None:
    """By induction: their choice after our text is our next token, so it is their greedy text too."""
    ties = 0
    for text, sample in zip(PROMPTS, samples, strict=True):
        at = first_difference(sample.tokens, sample.exact.argmax(axis=1).tolist())
        error = float(np.abs(sample.exact - sample.f32).max())
        closest = min(map(gap, sample.exact))
        print(f"{text!r}: differs at {at}, largest logit error {error:.1e}, closest two {closest:.4f}")
        if at is not None:
            assert min(gap(sample.f32[at]), gap(sample.exact[at])) < TIE, (text, at)
            ties += 1
    assert ties <= 2


def test_the_text_of_the_file_as_it_is(samples: list[Sample]) -> None:
    for text, sample in zip(PROMPTS, samples, strict=True):
        at = first_difference(sample.tokens, sample.peer_tokens)
        if at is None:
            print(f"{text!r}: the same {N_TOKENS} tokens")
            continue
        ours, theirs, exact = gap(sample.f32[at]), gap(sample.rounded[at]), sample.exact[at]
        moved = float(np.std(sample.rounded[at] - exact))
        print(f"{text!r}: differs at {at}: gap ours {ours:.3f}, theirs {theirs:.3f}, their rounding {moved:.3f}")
        assert min(ours, theirs) < TIE or exact.argmax() == sample.tokens[at], (text, at)
        # And by no more than rounding moves logits does their choice fall short of the best.
        assert exact.max() - exact[sample.peer_tokens[at]] <= 6 * moved, (text, at)


def test_default_mode_is_no_further_from_exact_than_llama(samples: list[Sample]) -> None:
    theirs, ours, f32 = (
        float(np.mean([nmse(getattr(sample, name), sample.exact) for sample in samples]))
        for name in ("rounded", "bf16", "f32")
    )
    same = sum(first_difference(s.tokens, s.bf16.argmax(axis=1).tolist()) is None for s in samples)
    print(f"NMSE from exact: llama.cpp {theirs:.2e}, ours bf16 {ours:.2e}, f32 {f32:.2e}")
    print(f"bf16 mode's greedy text is the exact one on {same} of {len(samples)} prompts")
    assert f32 <= 1e-6
    assert ours <= theirs


def test_perplexity(llama: type[LlamaPeer], gemma3_270m: Path, exact_file: Path) -> None:
    """A window of 1,024 tokens with BOS: past the sliding window of 512.

    llama.cpp's int8 activations cost it some tenths of a percent; with the weights as F32 it has none. There ours
    agrees both ways, and against the file as it is ours may be better, not worse.
    """
    n_ctx = 1024
    theirs = {}
    for name, path in {"exact": exact_file, "as it is": gemma3_270m}.items():
        with llama(path, n_ctx=n_ctx, n_threads=N_THREADS) as peer:
            window = peer.tokenize(documentation())[:n_ctx]
            assert len(window) == n_ctx
            theirs[name] = perplexity(peer.logits(window), window)
    for compute in ("bf16", "f32"):
        with Model(gemma3_270m, compute=compute, n_ctx=n_ctx) as model:
            ours = perplexity(model.logits(window), window)
        for name, peers in theirs.items():
            print(f"perplexity {compute} {ours:.4f}, llama.cpp {name} {peers:.4f}: {100 * (ours / peers - 1):+.3f} %")
        assert ours == pytest.approx(theirs["exact"], rel=5e-3)
        assert ours <= theirs["as it is"] * (1 + 5e-3)


def perplexity(logits: NDArray[np.float32], ids: list[int]) -> float:
    """Of all tokens but the first; the sums in float64."""
    total = 0.0
    for row, target in zip(logits[:-1], ids[1:], strict=True):
        highest = row.max()
        total += float(row[target] - highest) - float(np.log(np.exp(row - highest).sum(dtype=np.float64)))
    return float(np.exp(-total / (len(ids) - 1)))
