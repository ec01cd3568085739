"""What the model can do: perplexity on held-out text beside a 5-gram model, and the tasks by context length.

A task counts as solved when every answer token is the most likely one given the true prefix, which is what greedy
decoding gives; one forward pass per prompt therefore suffices.
"""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import numpy as np
import tasks
import torch
import torch.nn.functional as F  # noqa: N812
from data import ANSWER_WEIGHT, BOS, conversation
from model import WINDOW, hidden_states, token_losses
from tokenizers import Tokenizer
from transformers import Gemma4ForCausalLM
from vocab import WordEncoder

LENGTHS = {1024: 64, 4096: 64, 8192: 100, 16384: 64, 32768: 100, 65536: 40, 131072: 24}  # prompts of each length
BITS = 12  # of a token id in a packed n-gram: the vocabulary has 4096 tokens
DISCOUNT = 0.75


@torch.no_grad()
def perplexity(model: Gemma4ForCausalLM, held: np.ndarray, length: int, device: str) -> dict[str, float]:
    """exp(mean loss) over whole windows of `length` starting with <bos>, and per position octave from 256 on."""
    rows = [np.concatenate(([BOS], held[at : at + length])) for at in range(0, len(held) - length, length)]
    at_once = max(1, 65536 // length)
    found = []
    for start in range(0, len(rows), at_once):
        batch = torch.from_numpy(np.stack(rows[start : start + at_once]).astype(np.int64)).to(device)
        found.append(
            token_losses(model, hidden_states(model, batch[:, :-1]), batch[:, 1:]).double().mean(0) * len(batch)
        )
    mean = torch.stack(found).sum(0).cpu() / len(rows)
    result = {"all": math.exp(mean.mean())}
    edges = [0] + [2**k for k in range(8, length.bit_length())]
    result |= {f"{a}-{b}": math.exp(mean[a:b].mean()) for a, b in itertools.pairwise(edges)}
    return result


def pack(stream: np.ndarray, order: int) -> np.ndarray:
    """Every n-gram of the stream as one integer, the last token in the lowest bits."""
    packed = np.zeros(len(stream) - order + 1, dtype=np.uint64)
    for offset in range(order):
        packed = (packed << np.uint64(BITS)) | stream[offset : offset + len(packed)].astype(np.uint64)
    return packed


def lookup(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def ngram_perplexity(train: np.ndarray, held: np.ndarray, order: int = 5) -> float:
    """Interpolated Kneser-Ney of the given order, on the same tokens."""
    grams = {order: np.unique(pack(train, order), return_counts=True)}
    for n in range(order - 1, 0, -1):  # lower orders count in how many contexts an n-gram occurs
        suffixes = grams[n + 1][0] & np.uint64((1 << (BITS * n)) - 1)
        grams[n] = np.unique(suffixes, return_counts=True)
    probability = np.full(len(held) - order + 1, 1.0 / (1 << BITS))
    whole = pack(held, order)
    for n in range(1, order + 1):
        keys, counts = grams[n]
        wanted = whole & np.uint64((1 << (BITS * n)) - 1)
        contexts, first, distinct = np.unique(keys >> np.uint64(BITS), return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first)
        total = lookup(contexts, totals, wanted >> np.uint64(BITS))
        kinds = lookup(contexts, distinct, wanted >> np.uint64(BITS))
        count = lookup(keys, counts, wanted)
        seen = np.maximum(count - DISCOUNT, 0) + DISCOUNT * kinds * probability
        probability = np.where(total > 0, seen / np.maximum(total, 1), probability)
    return float(np.exp(-np.log(probability).mean()))


@torch.no_grad()
def task_accuracy(
    model: Gemma4ForCausalLM, encode: WordEncoder, stream: np.ndarray, kind: str, length: int, count: int, device: str
) -> float:
    """Share of prompts of about `length` tokens, one question each, answered exactly."""
    rng = random.Random(f"{kind}.{length}")
    prompts = []
    sizes = {"needle": 1, "multi_needle": 12, "copy_back": 9, "key_value": max(8, length // 16)}
    if length == 0:
        prompts = [conversation(rng, encode, stream, 64, kind) for _ in range(count)]
    else:
        single = _single_question(kind)
        prompts = [conversation(rng, encode, stream, length, single, sizes.get(kind, 8)) for _ in range(count)]
    right = 0
    at_once = max(1, 65536 // max(length, 1024))
    for start in range(0, count, at_once):
        rows = prompts[start : start + at_once]
        width = -(-max(len(ids) for ids, _ in rows) // WINDOW) * WINDOW
        ids = torch.stack([F.pad(torch.from_numpy(ids), (0, width - len(ids))) for ids, _ in rows]).to(device)
        hidden = hidden_states(model, ids)
        for row, (row_ids, weights) in enumerate(rows):
            answer = np.flatnonzero(weights == ANSWER_WEIGHT)
            best = F.linear(hidden[row, answer - 1], model.lm_head.weight).argmax(-1).cpu().numpy()
            right += bool((best == row_ids[answer]).all())
    return right / count


def _single_question(kind: str) -> str:
    """The task with only its first question, under a name of its own."""
    name, make = f"one_{kind}", tasks.LONG[kind]

    def one(rng: random.Random, size: int) -> tasks.Task:
        task = make(rng, size)
        task.questions = task.questions[:1]
        return task

    tasks.LONG[name] = one
    return name


def evaluate(
    model: Gemma4ForCausalLM, tokenizer: Path, tokens: Path, device: str, longest: int, full: bool = True
) -> dict[str, object]:
    """All figures as a JSON-ready dictionary; `full` adds the slow ones."""
    held = np.fromfile(tokens / "held.bin", dtype=np.uint16)
    encode = WordEncoder(Tokenizer.from_file(str(tokenizer / "tokenizer.json")))
    report: dict[str, object] = {"perplexity_2048": perplexity(model, held[:300_000], 2048, device)["all"]}
    table: dict[str, dict[str, float]] = {}
    for kind in tasks.LONG_SHARES:
        if kind == "key_value":
            lengths = {k: v for k, v in LENGTHS.items() if k <= min(longest, 16384)}
        else:
            lengths = {k: v for k, v in LENGTHS.items() if k <= longest}
        table[kind] = {
            str(n): task_accuracy(model, encode, held, kind, n - 256, count if full else 20, device)
            for n, count in lengths.items()
        }
    for kind in tasks.SHORT_SHARES:
        table[kind] = {"short": task_accuracy(model, encode, held, kind, 0, 64, device)}
    report["tasks"] = table
    if full:
        report["perplexity_by_position"] = perplexity(model, held, min(longest, 32768), device)
        train = np.fromfile(tokens / "train.bin", dtype=np.uint16)
        report["perplexity_5_gram"] = ngram_perplexity(train, held[:300_000])
    return report
