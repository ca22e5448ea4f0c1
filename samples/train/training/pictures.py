"""Generated pictures of 11 kinds of food: a plate, on it a shape with the colour and pattern of its kind, and noise.

Drawn, not photographed, so that training takes seconds and needs no data set; noisy and varied enough that a model has
to learn something. The same seed gives the same pictures everywhere.
"""

from collections.abc import Callable

import numpy as np

SIZE = 32

Pattern = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _plain(y: np.ndarray, x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.zeros_like(x)


def _stripes(y: np.ndarray, x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = random.uniform(0, np.pi)
    return np.sin(2.2 * (x * np.cos(angle) + y * np.sin(angle)))


def _rings(y: np.ndarray, x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.sin(1.6 * np.hypot(x, y))


def _grains(y: np.ndarray, x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.choice([-1.0, 0.4, 1.0], size=x.shape)


def _yolk(y: np.ndarray, x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.where(np.hypot(x, y) < 5, 1.0, -1.0)


def _leaves(y: np.ndarray, x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.sin(3 * np.arctan2(y, x)) * np.clip(np.hypot(x, y) / 8, 0, 1)


def _layers(y: np.ndarray, x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.where(np.abs(y) < 3, 1.0, -1.0)


def _checks(y: np.ndarray, x: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.sign(np.sin(x * 1.1) * np.sin(y * 1.1))


#: Kind -> (colour, colour where the pattern is high, pattern, height over width). Order = the model's outputs.
KINDS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], Pattern, float]] = {
    "Bread": ((0.80, 0.60, 0.35), (0.70, 0.48, 0.24), _stripes, 0.6),
    "Dairy product": ((0.95, 0.93, 0.82), (0.98, 0.90, 0.60), _plain, 0.8),
    "Dessert": ((0.90, 0.55, 0.70), (0.45, 0.25, 0.18), _layers, 1.0),
    "Egg": ((0.97, 0.97, 0.94), (0.97, 0.75, 0.15), _yolk, 0.9),
    "Fried food": ((0.75, 0.50, 0.10), (0.55, 0.33, 0.05), _checks, 0.8),
    "Meat": ((0.50, 0.18, 0.12), (0.70, 0.40, 0.35), _stripes, 0.7),
    "Noodles/Pasta": ((0.93, 0.78, 0.50), (0.80, 0.58, 0.28), _stripes, 1.0),
    "Rice": ((0.80, 0.80, 0.80), (0.98, 0.98, 0.98), _grains, 0.9),
    "Seafood": ((0.95, 0.50, 0.42), (0.99, 0.80, 0.74), _layers, 0.6),
    "Soup": ((0.86, 0.42, 0.10), (0.94, 0.62, 0.30), _rings, 1.0),
    "Vegetable/Fruit": ((0.30, 0.65, 0.22), (0.80, 0.20, 0.18), _leaves, 1.0),
}

CLASSES: tuple[str, ...] = tuple(KINDS)


def draw(kind: str, random: np.random.Generator) -> np.ndarray:
    """One picture, float32 [3, SIZE, SIZE], RGB, 0 to 1."""
    colour, second, pattern, height = KINDS[kind]
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) - (SIZE - 1) / 2
    y, x = y - random.uniform(-2.5, 2.5), x - random.uniform(-2.5, 2.5)
    food = np.hypot(x, y / height) < random.uniform(9.0, 12.5)
    pixels = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    pixels[:] = random.uniform(0.2, 0.7, 3)
    pixels[np.hypot(x, y) < 15] = random.uniform(0.82, 0.98)
    share = np.clip(pattern(y, x, random), 0, 1)[food, np.newaxis]
    pixels[food] = (1 - share) * np.array(colour) + share * np.array(second)
    pixels *= random.uniform(0.75, 1.15)
    pixels += random.normal(0, 0.08, pixels.shape)
    return np.clip(pixels, 0, 1).astype(np.float32).transpose(2, 0, 1)


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` pictures of each kind: float32 [n, 3, SIZE, SIZE] and the index of each one's kind."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(CLASSES)), count)
    return np.stack([draw(CLASSES[label], random) for label in labels]), labels
