"""Pictures for the demo model: one shape or one digit in one colour on a background, somewhere, turned a little."""

from __future__ import annotations

import colorsys
import math
import random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

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
LEAST_CONTRAST = 110  # distance of the two colours, of 441 between black and white


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


def picture(rng: random.Random, glyphs: np.ndarray, width: int, height: int) -> tuple[np.ndarray, str, str]:
    """[height, width, 3] uint8, the colour and the thing. glyphs: [fonts, 10, side, side]."""
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
    return np.asarray(image), colour, thing
