"""Token streams and training batches.

`prepare` encodes a corpus once: train.bin and held.bin (uint16, documents as <bos> text <eos>). `Batches` yields
endless (ids [rows, length], weights [rows, length]) pairs made by worker processes: plain text, and conversations of
tasks.py whose answers weigh more. A weight belongs to the token it stands at, as a target.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tasks
import torch
from corpus import read_corpus
from tokenizers import Tokenizer
from torch.utils.data import IterableDataset
from vocab import WordEncoder

BOS, EOS = 2, 1
ANSWER_WEIGHT, TEXT_WEIGHT = 4.0, 1.0
HELD_OUT_PERCENT = 2.0
TASK_SHARE = {2048: 0.35, 8192: 0.5}  # of the rows of this length; longer rows are all tasks (their filler is text)


def _encode(arguments: tuple[str, list[str]]) -> np.ndarray:
    folder, texts = arguments
    encode = WordEncoder(Tokenizer.from_file(f"{folder}/tokenizer.json"))
    return np.concatenate([np.array([BOS, *encode(text), EOS], dtype=np.uint16) for text in texts])


def prepare(corpus: Path, tokenizer: Path, out: Path, workers: int) -> dict[str, int]:
    """Writes train.bin and held.bin; a document is held out by a hash of its text. Returns the token counts."""
    texts: dict[str, list[str]] = {"train": [], "held": []}
    for _, text in read_corpus(corpus):
        held = zlib.crc32(text.encode()) % 10_000 < HELD_OUT_PERCENT * 100
        texts["held" if held else "train"].append(text)
    random.Random(1).shuffle(texts["train"])
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    with ProcessPoolExecutor(workers) as pool:
        for part, documents in texts.items():
            pieces = [
                (str(tokenizer), documents[i :: workers * 4]) for i in range(workers * 4) if documents[i :: workers * 4]
            ]
            tokens = np.concatenate(list(pool.map(_encode, pieces)))
            tokens.tofile(out / f"{part}.bin")
            counts[part] = len(tokens)
    return counts


class Conversation:
    """Ids and weights of one conversation, built turn by turn."""

    def __init__(self, encode: WordEncoder, stream: np.ndarray) -> None:
        self.encode, self.stream = encode, stream
        self.ids: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    def add(self, text: str, weight: float) -> None:
        self.add_ids(np.array(self.encode(text), dtype=np.int64), weight)

    def add_ids(self, ids: np.ndarray, weight: float) -> None:
        self.ids.append(ids)
        self.weights.append(np.full(len(ids), weight, dtype=np.float32))

    def context(self, rng: random.Random, task: tasks.Task, length: int) -> None:
        """The task's pieces, spread over `length` tokens of running text."""
        filler = np.zeros(0, dtype=np.int64)
        if task.filler:
            room = max(0, length - sum(len(self.encode(piece)) + 2 for piece in task.pieces))
            start = rng.randrange(max(1, len(self.stream) - room))
            filler = self.stream[start : start + room].astype(np.int64)
            filler = np.where(filler <= BOS, self.encode("\n")[0], filler)  # document borders: plain line ends
        if task.scatter:
            cuts = sorted(rng.randrange(len(filler) + 1) for _ in task.pieces)
        else:
            cuts = [rng.randrange(len(filler) + 1)] * len(task.pieces)
        before = 0
        for cut, piece in zip(cuts, task.pieces, strict=True):
            self.add_ids(filler[before:cut], TEXT_WEIGHT)
            self.add(f"\n{piece}\n" if task.scatter else f"{piece}\n", 0.0)
            before = cut
        self.add_ids(filler[before:], TEXT_WEIGHT)

    def dialogue(self, task: tasks.Task) -> None:
        """Questions and answers, after an open user turn."""
        for number, (question, answer) in enumerate(task.questions):
            if number:
                self.add("<|turn>user\n", 0.0)
            self.add(f"{question}<turn|>\n<|turn>model\n", 0.0)
            self.add(answer, ANSWER_WEIGHT)
            if task.extra:
                self.add("<|tool_response>", ANSWER_WEIGHT)
                self.add(task.extra[0].removeprefix("<|tool_response>"), 0.0)
                self.add(task.extra[1], ANSWER_WEIGHT)
            self.add("<turn|>", ANSWER_WEIGHT)
            self.add("\n", 0.0)

    def joined(self) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate(self.ids), np.concatenate(self.weights)


def conversation(
    rng: random.Random, encode: WordEncoder, stream: np.ndarray, length: int, kind: str, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One conversation of about `length` tokens (never more for the context; short kinds ignore it)."""
    if size is None:
        size = rng.randint(2, max(3, min(length // 24, 400)))
        if kind == "key_value":
            size = rng.randint(4, max(5, min(length // 16, 800)))
    make = tasks.LONG.get(kind) or tasks.SHORT[kind]
    task = make(rng, size)
    built = Conversation(encode, stream)
    built.add("<bos>", 0.0)
    if task.system:
        built.add(f"<|turn>system\n{task.system}<turn|>\n", 0.0)
    built.add("<|turn>user\n", 0.0)
    questions = sum(len(encode(q)) + len(encode(a)) + 12 for q, a in task.questions)
    if task.pieces:
        built.context(rng, task, max(64, length - questions - 16))
        built.add("\n", 0.0)
    built.dialogue(task)
    return built.joined()


class Batches(IterableDataset):
    """Endless rows; `seed` and the worker's number decide them."""

    def __init__(self, folder: Path, tokenizer: Path, length: int, rows: int, seed: int) -> None:
        self.folder, self.tokenizer, self.length, self.rows, self.seed = folder, tokenizer, length, rows, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed}.{self.length}.{info.id if info else 0}")
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        stream = np.memmap(self.folder / "train.bin", dtype=np.uint16, mode="r")
        encode = WordEncoder(Tokenizer.from_file(str(self.tokenizer / "tokenizer.json")))
        while True:
            rows = [self._row(rng, encode, stream) for _ in range(self.rows)]
            ids, weights = zip(*rows, strict=True)
            yield torch.from_numpy(np.stack(ids)), torch.from_numpy(np.stack(weights))

    def _row(self, rng: random.Random, encode: WordEncoder, stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        need = self.length
        if rng.random() >= TASK_SHARE.get(self.length, 1.0):
            start = rng.randrange(len(stream) - need)
            ids = stream[start : start + need].astype(np.int64)
            ids[0] = BOS
            return ids, np.full(need, TEXT_WEIGHT, dtype=np.float32)
        ids, weights = [], []
        filled = 0
        while filled < need:
            left = need - filled
            if left < 256 or rng.random() < 0.2:
                kind, length = tasks.draw(rng, tasks.SHORT_SHARES), 0
            else:
                kind = tasks.draw(rng, tasks.LONG_SHARES)
                # Half of the rows hold one conversation, the others several: distances of every scale.
                length = left if rng.random() < 0.5 else rng.randint(128, left)
            more_ids, more_weights = conversation(rng, encode, stream, length, kind)
            ids.append(more_ids)
            weights.append(more_weights)
            filled += len(more_ids)
        return np.concatenate(ids)[:need], np.concatenate(weights)[:need]
