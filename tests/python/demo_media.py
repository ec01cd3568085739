"""Pictures and clips for the demo model's eyes and ears, made by other code than it was trained on (tools/train_demo).

Shapes are Pillow's own, in the web's colours; digits are in the typeface that comes with Pillow; voices are eSpeak NG's
plain English ones and variants that training held out; tones are pure or of a few harmonics, at other loudnesses.
"""

from __future__ import annotations

import ctypes
import functools
import math
import random
from dataclasses import dataclass
from typing import Any

import espeakng_loader
import numpy as np
import soxr
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

RATE = 16_000
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")
PAPERS = {"white": ("black", "purple"), "black": ("yellow", "orange", "red", "blue"), "gray": ("white", "red", "blue"),
          "beige": ("green", "blue", "purple", "red", "black"), "navy": ("yellow", "white", "orange"),
          "lightblue": ("red", "black", "green", "purple"), "darkgreen": ("white", "yellow", "orange")}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star", "cross")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VOICES = ("en", "en-us", "en-gb-scotland", "en-us+m8", "en+linda", "en+Alex")


@dataclass(frozen=True)
class Case:
    """A medium, a question, and the one right answer."""

    medium: Any
    question: str
    answer: str


def pictures(count: int, seed: int) -> list[Case]:
    """Shapes and digits by turns, asked about by turns."""
    rng = random.Random(seed)
    return [_shape(rng, number) if number % 2 else _digit(rng, number) for number in range(count)]


def _paper(rng: random.Random) -> tuple[Any, Any, str, int, int]:
    paper = rng.choice(list(PAPERS))
    ink = rng.choice(PAPERS[paper])
    width, height = rng.choice(((224, 224), (320, 240), (200, 300), (512, 512), (128, 128)))
    image = Pictures.new("RGB", (width, height), paper)
    return image, ImageDraw.Draw(image), ink, width, height


def _shape(rng: random.Random, number: int) -> Case:
    image, draw, ink, width, height = _paper(rng)
    shape = SHAPES[number // 2 % len(SHAPES)]
    r = rng.uniform(0.22, 0.4) * min(width, height)
    x, y = rng.uniform(r, width - r), rng.uniform(r, height - r)
    if shape == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), ink)
    elif shape == "square":
        draw.rectangle((x - 0.8 * r, y - 0.8 * r, x + 0.8 * r, y + 0.8 * r), ink)
    elif shape == "triangle":
        draw.regular_polygon((x, y, r), 3, fill=ink)
    elif shape == "star":
        turns = [math.pi * k / 5 for k in range(10)]
        reach = [r if k % 2 == 0 else 0.4 * r for k in range(10)]
        draw.polygon([(x + d * math.sin(t), y - d * math.cos(t)) for t, d in zip(turns, reach, strict=True)], ink)
    else:
        draw.rectangle((x - r, y - 0.3 * r, x + r, y + 0.3 * r), ink)
        draw.rectangle((x - 0.3 * r, y - r, x + 0.3 * r, y + r), ink)
    article = "an" if ink == "orange" else "a"
    question, answer = (
        ("What shape is this?", f"The shape is a {shape}."),
        (f"What colour is the {shape}?", f"The colour is {ink}."),
        ("What is this?", f"This is {article} {ink} {shape}."),
    )[number // 2 % 3]
    return Case(image, question, answer)


def _digit(rng: random.Random, number: int) -> Case:
    image, draw, ink, width, height = _paper(rng)
    digit = str(number // 2 % 10)
    font = ImageFont.load_default(rng.uniform(0.6, 1) * min(width, height))
    left, top, right, bottom = font.getbbox(digit)
    at = (rng.uniform(2, width - (right - left) - 2) - left, rng.uniform(2, height - (bottom - top) - 2) - top)
    draw.text(at, digit, ink, font)
    question, answer = (
        ("Which digit is this?", f"The digit is {digit}."),
        ("What number is this?", f"The digit is {digit}."),
        ("What colour is the digit?", f"The colour is {ink}."),
    )[number // 2 % 3]
    return Case(image, question, answer)


def clips(count: int, seed: int) -> list[Case]:
    """Spoken digits, and every third a tone."""
    rng = random.Random(seed)
    return [_tone(rng, number) if number % 3 == 2 else _spoken(rng, number) for number in range(count)]


def _tone(rng: random.Random, number: int) -> Case:
    name = ("high", "low")[number // 3 % 2]
    pitch = rng.choice((1000, 1500, 2000, 3000)) if name == "high" else rng.choice((110, 150, 220, 300))
    seconds = np.arange(round(rng.uniform(0.6, 1.8) * RATE)) / RATE
    wave = np.sin(2 * np.pi * pitch * seconds)
    if rng.random() < 0.5:
        wave = 0.7 * wave + 0.3 * np.sin(4 * np.pi * pitch * seconds)
    return Case((rng.uniform(0.1, 0.9) * wave).astype(np.float32), "Is the tone high or low?", f"The tone is {name}.")


def _spoken(rng: random.Random, number: int) -> Case:
    digit = (number // 3 * 2 + number % 3) % 10
    voice = VOICES[number // 3 % len(VOICES)]
    heard = spoken(WORDS[digit], voice, rng.choice((140, 160, 175, 190)), rng.choice((40, 50, 60)))
    silence = np.zeros(round(rng.uniform(0.05, 0.3) * RATE), np.float32)
    question = ("Which digit is said?", "What number is this?", "Which digit do you hear?")[number // 3 % 3]
    return Case(np.concatenate([silence, heard, silence]), question, f"The digit is {digit}.")


@functools.cache
def _espeak() -> tuple[Any, list[NDArray[np.int16]], Any]:
    """The library, what it has said, and the callback that must outlive it."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    heard: list[NDArray[np.int16]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p)
    def hear(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    return library, heard, hear


def spoken(text: str, voice: str, speed: int, pitch: int) -> NDArray[np.float32]:
    """[n] at RATE, by eSpeak NG through its C interface (speak_lib.h)."""
    library, heard, hear = _espeak()
    synchronous, utf8, rate_parameter, pitch_parameter = 2, 1, 1, 3
    rate = library.espeak_Initialize(synchronous, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    library.espeak_SetSynthCallback(hear)
    assert library.espeak_SetVoiceByName(voice.encode()) == 0, voice
    library.espeak_SetParameter(rate_parameter, speed, 0)
    library.espeak_SetParameter(pitch_parameter, pitch, 0)
    heard.clear()
    buffer = ctypes.create_string_buffer(text.encode())
    library.espeak_Synth(buffer, ctypes.c_size_t(len(buffer)), 0, 0, 0, utf8, None, None)
    library.espeak_Synchronize()
    library.espeak_Terminate()
    resampled: NDArray[np.float32] = soxr.resample(np.concatenate(heard).astype(np.float32) / 32768, rate, RATE)
    return resampled
