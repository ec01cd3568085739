"""What the demo model learns to see and hear: pictures and clips made on the fly, and what is asked about them.

A picture is one shape or one digit in one colour on some background; a clip is one tone or one spoken digit with some
noise. A conversation asks for two or three of the things that can be said about it. Everything is drawn from a
generator with a seed; `held` draws digits from typefaces and voices that training never uses.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from media_corpus import RATE, from_mu_law
from media_pictures import COLOURS, THINGS, picture
from tokenizers import Tokenizer
from torch.utils.data import IterableDataset, get_worker_info

from g4cpp.media.mel import audio_tokens
from g4cpp.media.sizes import image_size

SOUNDS = (*map(str, range(10)), "high", "low")
HIGH, LOW = (900.0, 4000.0), (80.0, 350.0)  # hertz of the fundamental
SPEECH_SHARE = 0.75
ASPECTS = ((1, 1),) * 4 + ((4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (2, 1))

QUESTIONS: dict[str, tuple[str, ...]] = {
    "colour": ("What colour is this?", "What color is this?", "What colour is the {noun}?", "What color is the {noun}?",
               "What is the colour of the {noun}?", "What is the color of the {noun}?", "What is the colour?",
               "Which colour is it?", "Which colour is the {noun}?"),
    "shape": ("What shape is this?", "Which shape is this?", "What is the shape?", "What shape is it?",
              "What shape do you see?", "Which shape is in the picture?"),
    "digit": ("Which digit is this?", "What digit is this?", "What number is this?", "Which number is it?",
              "What is the digit?", "Which digit do you see?", "Which digit is in the picture?"),
    "thing": ("What is this?", "What do you see?", "What is in the picture?", "What is in the image?",
              "Describe the picture.", "What does the picture show?"),
    "tone": ("Is the tone high or low?", "Is this tone high or low?", "Is this a high or a low tone?",
             "Is the sound high or low?", "How high is the tone?"),
    "said": ("Which digit is said?", "What digit is said?", "Which digit do you hear?", "Which number is said?",
             "What number is this?", "Which digit is spoken?", "What is said?", "Which digit is this?"),
    "sound": ("What is this?", "What do you hear?", "What is in the recording?", "Describe the sound."),
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What is true of a medium: answers by kind of question, what it may be called, and its classes."""

    answers: dict[str, str]
    nouns: tuple[str, ...]
    classes: tuple[int, ...]


def picture_facts(colour: str, thing: str) -> Facts:
    article = "an" if colour == "orange" else "a"
    answers = {"colour": f"The colour is {colour}.", "thing": f"This is {article} {colour} {thing}."}
    if thing.isdecimal():
        answers["digit"], nouns = f"The digit is {thing}.", ("digit", "number")
    else:
        answers["shape"], nouns = f"The shape is a {thing}.", (thing, "shape")
    return Facts(answers, nouns, (list(COLOURS).index(colour), THINGS.index(thing)))


def sound_facts(sound: str) -> Facts:
    if sound.isdecimal():
        answers = {"said": f"The digit is {sound}.", "sound": f"This is a spoken {sound}."}
    else:
        answers = {"tone": f"The tone is {sound}.", "sound": f"This is a {sound} tone."}
    return Facts(answers, (), (SOUNDS.index(sound),))


def tone(rng: random.Random, name: str, n: int) -> np.ndarray:
    """[n] samples of a sine or of a few harmonics, fading in and out."""
    lowest, highest = HIGH if name == "high" else LOW
    pitch = math.exp(rng.uniform(math.log(lowest), math.log(highest)))
    seconds = np.arange(n) / RATE
    wave = np.sin(2 * np.pi * pitch * seconds)
    if rng.random() < 0.6:
        for harmonic in range(2, rng.randint(3, 6)):
            if harmonic * pitch < RATE / 2:
                wave += rng.uniform(0, 1) / harmonic * np.sin(2 * np.pi * harmonic * pitch * seconds + rng.random() * 6)
    fade = max(1, round(n * rng.uniform(0.002, 0.2)))
    wave *= np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / fade)
    return wave / np.abs(wave).max()


def clip(rng: random.Random, speech: Speech, n: int) -> tuple[np.ndarray, Facts]:
    """[n] float32 samples and what is heard."""
    if rng.random() < SPEECH_SHARE:
        digit, sound = speech.draw(rng, n)
        name = str(digit)
    else:
        name = rng.choice(("high", "low"))
        sound = tone(rng, name, rng.randint(min(n, RATE // 5), n))
    samples = np.zeros(n, np.float32)
    at = rng.randint(0, n - len(sound))
    samples[at : at + len(sound)] = sound * rng.uniform(0.08, 1)
    if rng.random() < 0.5:  # duller or brighter, as through another microphone
        samples = samples + np.float32(rng.uniform(-0.7, 0.7)) * np.pad(samples, (1, 0))[:-1]
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(n, np.float32)
    if rng.random() < 0.6:
        samples += noise * 10 ** rng.uniform(-5, -2)
    return samples, sound_facts(name)


class Speech:
    """Spoken digits, those of training or those held out."""

    def __init__(self, file: Path, held: bool) -> None:
        with np.load(file) as stored:
            self._samples, self._ends, self._digits = stored["samples"], stored["ends"], stored["digits"]
            self._clips = np.flatnonzero(stored["held"] == held)

    def draw(self, rng: random.Random, n: int) -> tuple[int, np.ndarray]:
        """A digit and its samples, a little faster or slower (and higher or lower) than spoken, at most n of them."""
        while True:
            clip = int(rng.choice(self._clips))
            sound = from_mu_law(self._samples[self._ends[clip] : self._ends[clip + 1]])
            length = round(len(sound) * rng.uniform(0.85, 1.15))
            if length <= n:
                places = np.linspace(0, len(sound) - 1, length)
                return int(self._digits[clip]), np.interp(places, np.arange(len(sound)), sound)


class Conversations:
    """Ids of a medium and two or three questions about it, in the demo model's chat format."""

    def __init__(self, tokenizer: Tokenizer, opening: str, closing: str) -> None:
        self._encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        self._start = self._encode(f"<bos><|turn>user\n{opening}")
        self._closing = closing

    def __call__(self, rng: random.Random, facts: Facts, n_soft: int) -> tuple[list[int], list[bool]]:
        """Ids, 0 where soft tokens stand, and which of them are answers."""
        ids, answers = [*self._start, *[0] * n_soft], [False] * (len(self._start) + n_soft)
        kinds = rng.sample(sorted(facts.answers), len(facts.answers))
        before = self._closing
        for kind in kinds:
            question = rng.choice(QUESTIONS[kind]).format(noun=rng.choice(facts.nouns or ("",)))
            asked = self._encode(f"{before}{question}<turn|>\n<|turn>model\n")
            answer = self._encode(f"{facts.answers[kind]}<turn|>")
            ids += asked + answer
            answers += [False] * len(asked) + [True] * len(answer)
            before = "\n<|turn>user\n"
        return ids, answers

    @property
    def soft_start(self) -> int:
        return len(self._start)


class Batches(IterableDataset):  # type: ignore[type-arg]
    """Endless batches of one medium: all of a batch have one size, so that nothing is padded but the text."""

    def __init__(self, medium: str, folder: Path, tokenizer: Tokenizer, rows: int, seed: int, held: bool) -> None:
        self.medium, self.folder, self.rows, self.seed, self.held = medium, folder, rows, seed, held
        mark = "image" if medium == "image" else "audio"
        self.talk = Conversations(tokenizer, f"<|{mark}>", f"<{mark}|>")
        self.budgets: tuple[int, ...] = (70, 140, 280, 280, 280)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed} {worker.id if worker else 0} {self.held}")
        if self.medium == "image":
            with np.load(self.folder / "glyphs.npz") as stored:
                self._glyphs = stored["masks"][stored["held"] == self.held]
        else:
            self._speech = Speech(self.folder / "speech.npz", self.held)
        while True:
            yield self._images(rng) if self.medium == "image" else self._clips(rng)

    def _images(self, rng: random.Random) -> dict[str, Any]:
        side, (across, down) = math.exp(rng.uniform(math.log(64), math.log(360))), rng.choice(ASPECTS)
        width, height = round(side * (across / down) ** 0.5), round(side * (down / across) ** 0.5)
        target = image_size(width, height, rng.choice(self.budgets))
        drawn = [picture(rng, self._glyphs, width, height) for _ in range(self.rows)]
        pixels = torch.from_numpy(np.stack([pixels for pixels, _, _ in drawn]))
        facts = [picture_facts(colour, thing) for _, colour, thing in drawn]
        batch = self._asked(rng, facts, target[0] // 48 * (target[1] // 48))
        return {**batch, "pixels": pixels, "size": target}

    def _clips(self, rng: random.Random) -> dict[str, Any]:
        n = round(RATE * rng.uniform(0.45, 2.6))
        made = [clip(rng, self._speech, n) for _ in range(self.rows)]
        samples = torch.from_numpy(np.stack([samples for samples, _ in made]).astype(np.float32))
        return {**self._asked(rng, [facts for _, facts in made], audio_tokens(n)), "samples": samples}

    def _asked(self, rng: random.Random, facts: list[Facts], n_soft: int) -> dict[str, Any]:
        talks = [self.talk(rng, fact, n_soft) for fact in facts]
        longest = max(len(ids) for ids, _ in talks)
        ids = torch.zeros(len(talks), longest, dtype=torch.long)
        answers = torch.zeros(len(talks), longest, dtype=torch.bool)
        for row, (tokens, marked) in enumerate(talks):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            answers[row, : len(tokens)] = torch.tensor(marked)
        classes = torch.tensor([fact.classes for fact in facts])
        return {"ids": ids, "answers": answers, "classes": classes, "soft": (self.talk.soft_start, n_soft)}
