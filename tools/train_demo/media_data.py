"""What the demo model learns to see and hear: pictures and clips made on the fly, and what is asked about them.

A picture is one shape or one digit in one colour on some background; a clip is one tone or one spoken digit with some
noise. A conversation asks for two or three of the things that can be said about it. Everything is drawn from a
generator with a seed; `held` draws digits from typefaces and voices that training never uses.
"""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from media_corpus import RATE, from_mu_law
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from tokenizers import Tokenizer
from torch.utils.data import IterableDataset, get_worker_info

from g4cpp.media.mel import audio_features, audio_tokens
from g4cpp.media.sizes import image_size

# Hues in degrees, saturation and value: what nobody would call by another of these names.
COLOURS: dict[str, tuple[tuple[float, float], ...]] = {
    "red": ((-8, 8), (0.75, 1), (0.6, 1)),
    "orange": ((24, 40), (0.85, 1), (0.9, 1)),
    "yellow": ((51, 63), (0.7, 1), (0.85, 1)),
    "green": ((92, 150), (0.6, 1), (0.38, 1)),
    "blue": ((207, 248), (0.65, 1), (0.5, 1)),
    "purple": ((272, 303), (0.5, 1), (0.42, 0.85)),
    "black": ((0, 360), (0, 0.3), (0, 0.1)),
    "white": ((0, 360), (0, 0.04), (0.94, 1)),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
THINGS = (*SHAPES, *map(str, range(10)))
SOUNDS = (*map(str, range(10)), "high", "low")
LEAST_CONTRAST = 110  # distance of the two colours, of 441 between black and white
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


def pick_colour(rng: random.Random, name: str) -> tuple[int, int, int]:
    hue, saturation, value = (rng.uniform(*limits) for limits in COLOURS[name])
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def background(rng: random.Random, width: int, height: int, name: str, ink: tuple[int, ...]) -> Image.Image:
    """Plain, shaded or noisy, and never near the ink."""
    while True:
        kind = rng.random()
        if kind < 0.35:
            paper: tuple[int, ...] = (rng.choice((255, 255, 0, rng.randint(0, 255))),) * 3
        elif kind < 0.65:
            paper = tuple(rng.randint(0, 255) for _ in range(3))
        else:
            paper = pick_colour(rng, rng.choice([other for other in COLOURS if other != name]))
        if math.dist(paper, ink) >= LEAST_CONTRAST:
            break
    image = Image.new("RGB", (width, height), paper)  # type: ignore[arg-type]
    if rng.random() < 0.3:
        strength = rng.randint(5, 35)
        noise = np.random.default_rng(rng.getrandbits(32)).integers(-strength, strength + 1, (height, width, 1))
        return Image.fromarray(np.clip(np.asarray(image).astype(int) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        slope = Image.linear_gradient("L").resize((width, height)).point(lambda value: value // 5)
        return ImageChops.add(image, slope.convert("RGB")) if min(paper) < 200 else image
    return image


def outline(rng: random.Random, shape: str) -> list[tuple[float, float]]:
    """The corners of a shape within the unit circle, turned a little."""
    points: list[tuple[float, float]]
    turn = math.radians(rng.uniform(-15, 15))
    if shape == "circle":
        points = [(math.cos(i * math.pi / 36), math.sin(i * math.pi / 36)) for i in range(72)]
    elif shape == "square":
        points = [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
    elif shape == "triangle":
        top = rng.uniform(-0.3, 0.3)
        points = [(top, -1), (rng.uniform(0.75, 1), 0.8), (-rng.uniform(0.75, 1), 0.8)]
    elif shape == "star":
        inner = rng.uniform(0.36, 0.48)
        points = [
            (math.sin(i * math.pi / 5) * (1, inner)[i % 2], -math.cos(i * math.pi / 5) * (1, inner)[i % 2])
            for i in range(10)
        ]
    elif shape == "cross":
        arm = rng.uniform(0.2, 0.38)
        quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
        points = []
        for _ in range(4):
            points += quarter
            quarter = [(-y, x) for x, y in quarter]
    else:
        angles = [i * math.pi / 36 for i in range(72)]
        points = [
            (
                math.sin(a) ** 3,
                -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16,
            )
            for a in angles
        ]
    stretch = rng.uniform(0.9, 1.1)
    cos, sin = math.cos(turn), math.sin(turn)
    return [(x * stretch * cos - y * sin, x * stretch * sin + y * cos) for x, y in points]


def shape_mask(rng: random.Random, shape: str, width: int, height: int) -> Image.Image:
    """Drawn at twice the size, so that edges come out smooth."""
    radius = min(width, height) * rng.uniform(0.14, 0.46) * 2
    x = rng.uniform(min(radius, width), max(2 * width - radius, width))
    y = rng.uniform(min(radius, height), max(2 * height - radius, height))
    points = [(x + radius * dx, y + radius * dy) for dx, dy in outline(rng, shape)]
    mask = Image.new("L", (2 * width, 2 * height))
    draw = ImageDraw.Draw(mask)
    if rng.random() < 0.15:
        draw.line([*points, points[0], points[1]], fill=255, width=max(4, round(radius * rng.uniform(0.12, 0.25))))
    else:
        draw.polygon(points, fill=255)
    return mask.resize((width, height), Image.Resampling.BOX)


def digit_mask(rng: random.Random, glyph: np.ndarray, width: int, height: int) -> Image.Image:
    """A glyph turned, slanted and stretched a little, somewhere."""
    side = max(16, round(min(width, height) * rng.uniform(0.35, 0.98)))
    source = Image.fromarray(glyph)
    n, turn, slant = source.width, math.radians(rng.uniform(-12, 12)), rng.uniform(-0.15, 0.15)
    wide, high = rng.uniform(1, 1.3), rng.uniform(1, 1.2)
    a, b = math.cos(turn) * wide, (math.sin(turn) + slant) * wide
    c, d = -math.sin(turn) * high, math.cos(turn) * high
    half = n / 2
    coefficients = (a, b, half - a * half - b * half, c, d, half - c * half - d * half)
    turned = source.transform((n, n), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    mask = Image.new("L", (width, height))
    at = (rng.randint(0, width - side), rng.randint(0, height - side))
    mask.paste(turned.resize((side, side), Image.Resampling.BICUBIC), at)
    return mask


def picture(rng: random.Random, glyphs: np.ndarray, width: int, height: int) -> tuple[np.ndarray, Facts]:
    """[height, width, 3] uint8. glyphs: [fonts, 10, side, side]."""
    colour = rng.choice(list(COLOURS))
    thing = rng.choice(SHAPES) if rng.random() < 0.4 else str(rng.randrange(10))
    if thing.isdecimal():
        mask = digit_mask(rng, glyphs[rng.randrange(len(glyphs)), int(thing)], width, height)
    else:
        mask = shape_mask(rng, thing, width, height)
    ink = pick_colour(rng, colour)
    image = background(rng, width, height, colour, ink)
    image.paste(ink, mask=mask)
    if rng.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(min(width, height) / 150))
    return np.asarray(image), picture_facts(colour, thing)


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
        pixels = torch.from_numpy(np.stack([pixels for pixels, _ in drawn]))
        batch = self._asked(rng, [facts for _, facts in drawn], target[0] // 48 * (target[1] // 48))
        return {**batch, "pixels": pixels, "size": target}

    def _clips(self, rng: random.Random) -> dict[str, Any]:
        n = round(RATE * rng.uniform(0.45, 2.6))
        made = [clip(rng, self._speech, n) for _ in range(self.rows)]
        features = torch.from_numpy(np.stack([audio_features(samples) for samples, _ in made]))
        return {**self._asked(rng, [facts for _, facts in made], audio_tokens(n)), "features": features}

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
