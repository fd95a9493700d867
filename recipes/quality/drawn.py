"""Things that are no retina, drawn by a program: a kind a function, from a generator to uint8 RGB."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Picture = np.ndarray
Rng = np.random.Generator
SIZE = 420


def clouds(rng: Rng, height: int, width: int, power: float) -> Picture:
    """Random field whose amplitude falls with frequency to a power, scaled to 0..1, float32 [H, W]."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(fx, fy), 1 / max(height, width))
    spectrum = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    field = np.fft.irfft2(spectrum / frequency**power, s=(height, width))
    low, high = np.percentile(field, (1, 99))
    return np.clip((field - low) / (high - low + 1e-9), 0, 1).astype(np.float32)


def colour(rng: Rng) -> tuple[int, ...]:
    """Any colour; every third one is the orange or red of a fundus."""
    if rng.random() < 0.35:
        red = rng.integers(110, 256)
        green = int(red * rng.uniform(0.25, 0.75))
        return int(red), green, int(green * rng.uniform(0.1, 0.8))
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def size(rng: Rng) -> tuple[int, int]:
    """Height and width."""
    return int(rng.integers(260, SIZE)), int(rng.integers(260, SIZE + 120))


def between(share: Picture, first: tuple[int, ...], second: tuple[int, ...]) -> Picture:
    """Two colours mixed by a share in 0..1."""
    return (
        (np.array(first) + share[..., None] * (np.array(second, float) - first)).clip(0, 255).astype(np.uint8)
    )


def noise(rng: Rng) -> Picture:
    """Noise of each pixel for itself, in colour or grey, uniform, normal or salt and pepper."""
    h, w = size(rng)
    channels = 3 if rng.random() < 0.6 else 1
    kind = rng.integers(3)
    if kind == 0:
        values = rng.integers(0, 256, (h, w, channels))
    elif kind == 1:
        values = rng.normal(np.array(colour(rng))[:channels], rng.uniform(5, 80), (h, w, channels))
    else:
        values = np.full((h, w, channels), 128)
        values[rng.random((h, w)) < 0.2] = 255
        values[rng.random((h, w)) < 0.2] = 0
    return np.broadcast_to(values.clip(0, 255).astype(np.uint8), (h, w, 3)).copy()


def coloured_noise(rng: Rng) -> Picture:
    """Clouds: noise whose energy falls with frequency."""
    h, w = size(rng)
    power = rng.uniform(0.4, 2.5)
    if rng.random() < 0.5:
        return between(clouds(rng, h, w, power), colour(rng), colour(rng))
    return (np.dstack([clouds(rng, h, w, power) for _ in range(3)]) * 255).astype(np.uint8)


def flat(rng: Rng) -> Picture:
    """One colour, perhaps with a little sensor noise."""
    h, w = size(rng)
    base = np.full((h, w, 3), colour(rng), float)
    return (base + rng.normal(0, rng.choice([0, 0, 1, 4]), base.shape)).clip(0, 255).astype(np.uint8)


def gradient(rng: Rng) -> Picture:
    """A straight or round course from one colour to another."""
    h, w = size(rng)
    y, x = np.mgrid[:h, :w] / np.array([h, w]).reshape(2, 1, 1) - rng.uniform(0.2, 0.8, (2, 1, 1))
    angle = rng.uniform(0, 6.3)
    course = np.hypot(x, y) if rng.random() < 0.5 else x * np.cos(angle) + y * np.sin(angle)
    course = (course - course.min()) / (np.ptp(course) + 1e-9)
    return between(course ** rng.uniform(0.5, 2), colour(rng), colour(rng))


def words(
    rng: Rng, picture: Picture, left: int, top: int, right: int, bottom: int, ink: tuple[int, ...]
) -> None:
    """Lines of text in a box."""
    scale = rng.uniform(0.3, 1.1)
    y = top + int(20 * scale)
    letters = np.array(list("abcdefghiklmnoprstuvwxyz      ABCDEMNRST0123456789.,"))
    while y < bottom:
        line = "".join(rng.choice(letters, max(1, int((right - left) / (17 * scale)))))
        cv2.putText(
            picture, line, (left, y), int(rng.integers(0, 4)), scale, ink, 1 + int(scale > 0.8), cv2.LINE_AA
        )
        y += int(rng.uniform(24, 34) * scale)


def text_page(rng: Rng) -> Picture:
    """A page of text, dark on light or the reverse, evenly lit or not."""
    h, w = size(rng)
    paper, ink = ((235,) * 3, (20,) * 3) if rng.random() < 0.5 else (colour(rng), colour(rng))
    page = np.full((h, w, 3), paper, np.uint8)
    words(rng, page, 15, 10, w - 15, h - 10, ink)
    if rng.random() < 0.5:
        page = (page * (0.5 + 0.5 * clouds(rng, h, w, 2.2))[..., None]).astype(np.uint8)
    return page


def screenshot(rng: Rng) -> Picture:
    """Windows, buttons, lists and words."""
    h, w = size(rng)
    page = np.full((h, w, 3), colour(rng) if rng.random() < 0.3 else (240, 240, 244), np.uint8)
    for _ in range(rng.integers(4, 16)):
        x, y = int(rng.integers(0, w - 40)), int(rng.integers(0, h - 30))
        x2, y2 = x + int(rng.integers(30, w)), y + int(rng.integers(12, h // 2))
        cv2.rectangle(page, (x, y), (x2, y2), colour(rng), -1 if rng.random() < 0.7 else 1)
        if rng.random() < 0.6:
            words(rng, page, x + 4, y, min(w, x2), min(h, y2), colour(rng))
    if rng.random() < 0.5:
        cv2.rectangle(page, (0, 0), (w, 22), colour(rng), -1)
    return page


def blob(rng: Rng, radius: float, corners: int, roughness: float) -> Picture:
    """Corners of a random outline, int32 [n, 2] around the origin."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = radius * (1 + roughness * rng.uniform(-0.6, 0.6, corners))
    return np.stack([radii * np.cos(angles) * rng.uniform(0.5, 1), radii * np.sin(angles)], 1).astype(
        np.int32
    )


def dead_leaves(rng: Rng) -> Picture:
    """Overlapping things of all sizes with shading and texture, whose statistics are those of scenes."""
    h, w = size(rng)
    picture = np.full((h, w, 3), colour(rng), np.float32)
    palette = [colour(rng) for _ in range(rng.integers(2, 8))]
    texture = clouds(rng, h, w, rng.uniform(0.8, 1.8))
    for _ in range(rng.integers(20, 160)):
        radius = float(np.clip(6 * rng.pareto(1.2) + 4, 4, 170))
        shape = blob(rng, radius, int(rng.integers(3, 14)), float(rng.choice([0, 0.4, 1])))
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [shape + np.array([rng.integers(0, w), rng.integers(0, h)])], 1)
        tone = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.6, 1.2)
        shade = (
            1 + rng.uniform(0, 0.7) * (texture - 0.5) + rng.uniform(-0.4, 0.4) * np.linspace(-1, 1, w)[None]
        )
        picture = np.where(mask[..., None] > 0, tone * shade[..., None], picture)
    return cv2.GaussianBlur(picture.clip(0, 255).astype(np.uint8), (0, 0), rng.uniform(0.4, 1.6))


def ball(rng: Rng) -> Picture:
    """A lit ball on a dark or light ground: smooth, pitted like an orange, banded or cloudy, with craters."""
    n = int(rng.integers(280, SIZE))
    y, x = (np.mgrid[:n, :n] - n / 2) / (n / 2) / rng.uniform(0.6, 0.98)
    squared = x**2 + y**2
    z = np.sqrt(np.clip(1 - squared, 0, 1))
    light = rng.normal(size=3) * [1, 1, 0.3] + [0, 0, 1.2]
    light /= np.linalg.norm(light)
    shade = np.clip(x * light[0] + y * light[1] + z * light[2], 0.02, 1) ** rng.uniform(0.3, 1)
    if rng.random() < 0.3:
        shade = 0.6 + 0.4 * z
    surface = np.zeros((n, n), np.float32)
    kind = rng.integers(5)
    if kind == 1:
        surface = 0.3 * clouds(rng, n, n, 0.7)
    elif kind == 2:
        surface = np.sin(y * rng.uniform(5, 25) + 2 * clouds(rng, n, n, 2)) * 0.5 + 0.5
    elif kind == 3:
        surface = clouds(rng, n, n, rng.uniform(1.2, 2))
    elif kind == 4:
        surface = 0.6 * clouds(rng, n, n, 1.6)
        for _ in range(rng.integers(10, 80)):
            centre = tuple(int(v) for v in rng.integers(0, n, 2))
            cv2.circle(
                surface,
                centre,
                int(2 + 4 * rng.pareto(1.5)),
                float(rng.uniform(0, 1)),
                int(rng.choice([-1, 1, 2])),
            )
        surface = cv2.GaussianBlur(surface, (0, 0), 1.2)
    skin = between(surface, colour(rng), colour(rng)) * shade[..., None]
    if rng.random() < 0.3:
        skin += 200 * np.exp(-((x + 0.3) ** 2 + (y + 0.3) ** 2) / rng.uniform(0.005, 0.05))[..., None]
    ground = (0, 0, 0) if rng.random() < 0.7 else colour(rng)
    return np.where((squared <= 1)[..., None], skin, ground).clip(0, 255).astype(np.uint8)


def face(rng: Rng) -> Picture:
    """A drawn face, simple or shaded."""
    h, w = size(rng)
    ground = (0, 0, 0) if rng.random() < 0.5 else colour(rng)
    picture = np.full((h, w, 3), ground, np.uint8)
    skin = (int(rng.integers(120, 256)), int(rng.integers(80, 200)), int(rng.integers(50, 170)))
    cx, cy, r = w // 2, h // 2, int(min(h, w) * rng.uniform(0.35, 0.49))
    wide = r if rng.random() < 0.5 else int(r * 0.78)
    cv2.ellipse(picture, (cx, cy), (wide, r), 0, 0, 360, skin, -1, cv2.LINE_AA)
    if rng.random() < 0.5:
        cv2.ellipse(picture, (cx, cy - r // 3), (wide, int(r * 0.75)), 0, 180, 360, colour(rng), -1)
    for side in (-1, 1):
        eye = (cx + side * int(wide * 0.4), cy - r // 6)
        cv2.ellipse(picture, eye, (r // 6, r // 10), 0, 0, 360, (245,) * 3, -1, cv2.LINE_AA)
        cv2.circle(picture, eye, r // 13, colour(rng), -1, cv2.LINE_AA)
        cv2.ellipse(
            picture, (eye[0], eye[1] - r // 6), (r // 5, r // 20), 0, 180, 360, (40, 30, 20), 3, cv2.LINE_AA
        )
    cv2.line(
        picture,
        (cx, cy - r // 10),
        (cx - r // 12, cy + r // 6),
        tuple(int(v * 0.7) for v in skin),
        2,
        cv2.LINE_AA,
    )
    cv2.ellipse(
        picture,
        (cx, cy + r // 2),
        (r // 3, r // 8),
        0,
        0,
        int(rng.choice([180, 360])),
        (150, 40, 50),
        int(rng.choice([-1, 3])),
        cv2.LINE_AA,
    )
    shade = 0.6 + 0.4 * clouds(rng, h, w, 2.5)[..., None]
    return cv2.GaussianBlur((picture * shade).astype(np.uint8), (0, 0), rng.uniform(0.4, 2.5))


def oct_strip(rng: Rng) -> Picture:
    """Layers of speckle, as in optical coherence tomography, with or without black above and below."""
    h, w = int(rng.integers(120, 360)), int(rng.integers(360, 560))
    x = np.linspace(-1, 1, w)
    top = h * (0.35 + 0.1 * rng.normal() * x + 0.12 * rng.random() * np.exp(-(x**2) / 0.02) + 0.05 * x**2)
    y = np.arange(h)[:, None]
    depth = (y - top[None]) / (h * rng.uniform(0.2, 0.4))
    levels = np.interp(
        depth, np.linspace(0, 1, 9), [0.6, *rng.uniform(0.15, 0.9, 6), 1.0, 0.4], left=0.06, right=0.2
    )
    speckle = rng.gamma(rng.uniform(2, 5), size=(h, w))
    picture = levels * speckle / speckle.mean() * 170
    if rng.random() < 0.2:
        return cv2.applyColorMap(picture.clip(0, 255).astype(np.uint8), int(rng.choice([2, 4, 11])))
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def chart(rng: Rng) -> Picture:
    """Lines, bars, points or a cake, with axes and words."""
    h, w = size(rng)
    picture = np.full((h, w, 3), (255,) * 3 if rng.random() < 0.7 else colour(rng), np.uint8)
    ink = (30, 30, 30)
    for _ in range(rng.integers(1, 4)):
        kind, tone = rng.integers(4), colour(rng)
        if kind == 0:
            points = np.stack([np.linspace(40, w - 15, 40), h / 2 + np.cumsum(rng.normal(0, 12, 40))], 1)
            cv2.polylines(picture, [points.astype(np.int32)], False, tone, 2, cv2.LINE_AA)
        elif kind == 1:
            for x in range(50, w - 20, int(rng.integers(15, 50))):
                cv2.rectangle(picture, (x, int(rng.integers(20, h - 40))), (x + 12, h - 30), tone, -1)
        elif kind == 2:
            for x, y in rng.normal([w / 2, h / 2], [w / 6, h / 6], (150, 2)).astype(int):
                cv2.circle(picture, (int(x), int(y)), 3, tone, -1, cv2.LINE_AA)
        else:
            start = 0
            for stop in [*np.sort(rng.integers(10, 350, 4)), 360]:
                cv2.ellipse(
                    picture,
                    (w // 2, h // 2),
                    (h // 3, h // 3),
                    0,
                    start,
                    int(stop),
                    colour(rng),
                    -1,
                    cv2.LINE_AA,
                )
                start = int(stop)
    cv2.line(picture, (40, h - 30), (w - 10, h - 30), ink, 1)
    cv2.line(picture, (40, 10), (40, h - 30), ink, 1)
    words(rng, picture, 50, h - 28, w - 10, h, ink)
    return picture


def histology(rng: Rng) -> Picture:
    """Stained tissue: pale ground, many small dark cells, pale holes."""
    h, w = size(rng)
    stain = [(190, 120, 190), (200, 140, 120), (170, 160, 190), (225, 150, 170)][rng.integers(4)]
    picture = between(clouds(rng, h, w, 1.3), stain, (240, 220, 235))
    nucleus = np.array(stain) * rng.uniform(0.3, 0.6)
    for _ in range(rng.integers(150, 900)):
        centre = (int(rng.integers(w)), int(rng.integers(h)))
        axes = (int(rng.integers(2, 8)), int(rng.integers(2, 8)))
        tone = tuple(int(v) for v in (nucleus * rng.uniform(0.7, 1.3)).clip(0, 255))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, tone, -1, cv2.LINE_AA)
    for _ in range(rng.integers(0, 20)):
        shape = blob(rng, rng.uniform(6, 30), 12, 0.5) + rng.integers(0, [w, h])
        cv2.fillPoly(picture, [shape.astype(np.int32)], (245, 240, 245), cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.5))


def skin(rng: Rng) -> Picture:
    """Skin: small furrows, pores, spots, perhaps hairs."""
    h, w = size(rng)
    tone = np.array([rng.uniform(140, 245), 0, 0])
    tone[1] = tone[0] * rng.uniform(0.6, 0.85)
    tone[2] = tone[1] * rng.uniform(0.7, 0.95)
    light = 0.75 + 0.35 * clouds(rng, h, w, 2.4)
    grain = clouds(rng, h, w, rng.uniform(0.3, 1))
    seeds = rng.random((int(rng.integers(200, 1500)), 2)) * [w, h]
    diagram = cv2.Subdiv2D((0, 0, w, h))
    diagram.insert(seeds.astype(np.float32))
    furrows = np.zeros((h, w), np.uint8)
    for cell in diagram.getVoronoiFacetList([])[0]:
        cv2.polylines(furrows, [cell.astype(np.int32)], True, 255, 1, cv2.LINE_AA)
    depth = cv2.GaussianBlur(furrows, (0, 0), rng.uniform(0.6, 2)) / 255.0
    picture = tone * (light * (0.92 + 0.12 * grain) * (1 - rng.uniform(0.05, 0.4) * depth))[..., None]
    picture = picture.clip(0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 25) if rng.random() < 0.5 else 0):
        start = rng.integers(0, [w, h])
        bend = np.cumsum(rng.normal(0, 0.15, 12)) + rng.uniform(0, 6.3)
        hair = start + np.cumsum(rng.uniform(5, 15) * np.stack([np.cos(bend), np.sin(bend)], 1), 0)
        cv2.polylines(
            picture, [hair.astype(np.int32)], False, (50, 35, 25), 1 + int(rng.random() < 0.3), cv2.LINE_AA
        )
    if rng.random() < 0.4:
        spot = blob(rng, rng.uniform(15, 80), 20, 0.3) + np.array([w // 2, h // 2])
        layer = picture.copy()
        cv2.fillPoly(layer, [spot.astype(np.int32)], tuple(int(v) for v in tone * rng.uniform(0.3, 0.7)))
        picture = cv2.addWeighted(picture, 0.3, cv2.GaussianBlur(layer, (0, 0), 3), 0.7, 0)
    return picture


def tree(
    rng: Rng, picture: Picture, start: np.ndarray, heading: float, width: float, tone: tuple[int, ...]
) -> None:
    """Branches that grow from a point."""
    while width > 0.8 and (start > -50).all() and (start < 650).all():
        stop = start + rng.uniform(10, 25) * np.array([np.cos(heading), np.sin(heading)])
        cv2.line(
            picture,
            tuple(start.astype(int).tolist()),
            tuple(stop.astype(int).tolist()),
            tone,
            max(1, round(width)),
            cv2.LINE_AA,
        )
        start, heading = stop, heading + rng.normal(0, 0.25)
        if rng.random() < 0.35:
            tree(
                rng, picture, start, heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.1), width * 0.65, tone
            )
        width *= rng.uniform(0.86, 0.99)


def branches(rng: Rng) -> Picture:
    """Twigs before the sky, roots, cracks, veins of a leaf, marble: lines without a fundus behind them."""
    h, w = size(rng)
    picture = between(clouds(rng, h, w, rng.uniform(0.8, 2)), colour(rng), colour(rng))
    for _ in range(rng.integers(1, 8)):
        edge = [(rng.uniform(0, w), h), (rng.uniform(0, w), 0), (0, rng.uniform(0, h)), (w / 2, h / 2)][
            rng.integers(4)
        ]
        tree(rng, picture, np.array(edge), rng.uniform(0, 6.3), rng.uniform(2, 16), colour(rng))
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.4))


def stripes(rng: Rng) -> Picture:
    """Stripes, squares or rings."""
    h, w = size(rng)
    y, x = np.mgrid[:h, :w].astype(float)
    angle, period = rng.uniform(0, 3.2), rng.uniform(4, 90)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = rng.integers(3)
    wave = np.sin(u / period * 6.3) * (np.sin(v / period * 6.3) if kind == 1 else 1)
    if kind == 2:
        wave = np.sin(np.hypot(x - w / 2, y - h / 2) / period * 6.3)
    return between((np.tanh(wave * rng.choice([1, 20])) + 1) / 2, colour(rng), colour(rng))


def cup(rng: Rng) -> Picture:
    """A cup, bowl or plate from above: rings, a shining surface, a handle, a table."""
    h, w = size(rng)
    picture = between(clouds(rng, h, w, rng.uniform(1, 2)), colour(rng), colour(rng))
    r = min(h, w) * rng.uniform(0.3, 0.5)
    centre = (w // 2 + int(rng.normal(0, 15)), h // 2 + int(rng.normal(0, 15)))
    squash = rng.uniform(0.6, 1)
    for share in np.sort(rng.uniform(0.3, 1, rng.integers(2, 6)))[::-1]:
        cv2.ellipse(
            picture,
            centre,
            (int(r * share), int(r * share * squash)),
            0,
            0,
            360,
            colour(rng),
            -1,
            cv2.LINE_AA,
        )
    cv2.ellipse(
        picture,
        (centre[0] + int(r), centre[1]),
        (int(r * 0.25), int(r * 0.2)),
        0,
        -90,
        90,
        colour(rng),
        int(rng.integers(4, 18)),
        cv2.LINE_AA,
    )
    shine = 0.7 + 0.6 * clouds(rng, h, w, 2)
    return cv2.GaussianBlur(
        (picture * shine[..., None]).clip(0, 255).astype(np.uint8), (0, 0), rng.uniform(0.4, 3)
    )


def outer_eye(rng: Rng) -> Picture:
    """The eye from outside: lids, white, iris, pupil, reflex."""
    h, w = size(rng)
    picture = between(clouds(rng, h, w, 1.4), (215, 160, 130), (170, 110, 85))
    layer = between(clouds(rng, h, w, 1.5), (240, 225, 220), (215, 190, 185))
    for _ in range(rng.integers(0, 10)):
        start = np.array([rng.choice([0.0, float(w)]), rng.uniform(0.3, 0.7) * h])
        tree(
            rng,
            layer,
            start,
            float(np.arctan2(h / 2 - start[1], w / 2 - start[0])),
            rng.uniform(1, 3),
            (190, 60, 60),
        )
    r, middle = int(h * rng.uniform(0.2, 0.34)), (w // 2, h // 2)
    iris = between(clouds(rng, h, w, 0.9), colour(rng), colour(rng))
    disc = np.zeros((h, w), np.uint8)
    cv2.circle(disc, middle, r, 1, -1)
    layer[disc > 0] = iris[disc > 0]
    for angle in rng.uniform(0, 6.3, 90):
        stop = (int(middle[0] + 0.95 * r * np.cos(angle)), int(middle[1] + 0.95 * r * np.sin(angle)))
        cv2.line(layer, middle, stop, tuple(int(v) for v in iris[middle[1], middle[0]] * 0.8), 1, cv2.LINE_AA)
    cv2.circle(layer, middle, int(r * rng.uniform(0.25, 0.7)), (12, 8, 8), -1, cv2.LINE_AA)
    cv2.circle(layer, (middle[0] - r // 3, middle[1] - r // 3), r // 8, (255,) * 3, -1, cv2.LINE_AA)
    opening = np.zeros((h, w), np.uint8)
    cv2.ellipse(opening, middle, (int(w * 0.55), int(h * rng.uniform(0.25, 0.6))), 0, 0, 360, 1, -1)
    picture = np.where(opening[..., None] > 0, layer, picture)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.5))


def inner_organ(rng: Rng) -> Picture:
    """As in an endoscope: pink folds, a dark hole, wet reflexes, a few vessels, a round or cut field on black."""
    n = int(rng.integers(300, SIZE))
    y, x = (np.mgrid[:n, :n] - n * rng.uniform(0.35, 0.65, 2).reshape(2, 1, 1)) / n
    away, around = np.hypot(x, y), np.arctan2(y, x)
    folds = np.sin(
        away * rng.uniform(20, 60)
        + 2 * np.sin(around * rng.integers(2, 5) + rng.uniform(0, 6))
        + 3 * clouds(rng, n, n, 2)
    )
    shade = np.clip(0.3 + 1.6 * away, 0, 1) * (0.8 + 0.2 * folds) * (0.85 + 0.3 * clouds(rng, n, n, 1.4))
    picture = (
        (shade[..., None] * np.array([235, rng.uniform(110, 160), rng.uniform(90, 140)]))
        .clip(0, 255)
        .astype(np.uint8)
    )
    for _ in range(rng.integers(0, 4)):
        tree(rng, picture, rng.uniform(0, n, 2), rng.uniform(0, 6.3), rng.uniform(1.5, 4), (150, 40, 40))
    for _ in range(rng.integers(3, 25)):
        spot = blob(rng, rng.uniform(2, 12), 9, 0.5) + rng.integers(0, n, 2)
        cv2.fillPoly(picture, [spot.astype(np.int32)], (255, 250, 250), cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.4))


def landscape(rng: Rng) -> Picture:
    """Sky, hills, water, perhaps a sun."""
    h, w = size(rng)
    down = np.repeat(np.linspace(0, 1, h)[:, None], w, 1)
    picture = between(np.clip(down * 1.4 + 0.2 * clouds(rng, h, w, 2), 0, 1), colour(rng), colour(rng))
    if rng.random() < 0.5:
        cv2.circle(
            picture,
            (int(rng.integers(w)), int(rng.integers(h // 2))),
            int(rng.integers(8, 60)),
            (255, 220, 150),
            -1,
            cv2.LINE_AA,
        )
    for level in np.sort(rng.uniform(0.3, 0.9, rng.integers(1, 5))):
        ridge = h * level + 40 * np.convolve(np.cumsum(rng.normal(0, 0.3, w)), np.ones(9) / 9, "same")
        mask = np.arange(h)[:, None] > ridge[None]
        ground = between(clouds(rng, h, w, rng.uniform(0.6, 1.6)), colour(rng), colour(rng))
        picture = np.where(mask[..., None], ground, picture)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2))


KINDS: dict[str, Callable[[Rng], Picture]] = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        *(
            noise,
            coloured_noise,
            flat,
            gradient,
            text_page,
            screenshot,
            dead_leaves,
            ball,
            face,
            oct_strip,
            chart,
        ),
        *(histology, skin, branches, stripes, cup, outer_eye, inner_organ, landscape),
    )
}


def on_black(rng: Rng, picture: Picture) -> Picture:
    """The picture through a round opening, whole or cut above and below, on black, as a fundus camera's."""
    side = min(picture.shape[:2])
    top, left = (
        int(rng.integers(0, spare + 1)) for spare in (picture.shape[0] - side, picture.shape[1] - side)
    )
    part = picture[top : top + side, left : left + side]
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) / (side / 2)
    seen = (np.hypot(x, y) < 0.99) & (np.abs(y) < rng.choice([1.0, rng.uniform(0.7, 1)]))
    part = np.where(seen[..., None], part, 0)
    if rng.random() < 0.5:
        part = (part * (1 - rng.uniform(0, 0.5) * np.clip(x**2 + y**2, 0, 1))[..., None]).astype(np.uint8)
    wide = int(rng.uniform(0, 0.35) * side)
    high = int(rng.choice([0, rng.uniform(0, 0.2)]) * side)
    return cv2.copyMakeBorder(part.astype(np.uint8), high, high, wide, wide, cv2.BORDER_CONSTANT)


def tinted(rng: Rng, picture: Picture) -> Picture:
    """The picture in the colours of a fundus."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    red = rng.uniform(0.7, 1.1)
    green = rng.uniform(0.35, 0.7)
    channels = [
        255 * level * grey**power
        for level, power in ((red, 0.7), (green, 1), (green * rng.uniform(0.2, 0.7), 1.3))
    ]
    return np.dstack(channels).clip(0, 255).astype(np.uint8)


def camera(rng: Rng, picture: Picture) -> Picture:
    """Blur, grain and JPEG as any camera's; sometimes contrast is taken away."""
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4))
    if rng.random() < 0.2:
        picture = cv2.addWeighted(picture, rng.uniform(0.3, 0.9), np.full_like(picture, colour(rng)), 0.2, 0)
    if rng.random() < 0.3:
        picture = (picture + rng.normal(0, rng.uniform(1, 8), picture.shape)).clip(0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 97))])[
        1
    ]
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])


def drawn(rng: Rng, kind: str) -> Picture:
    """One picture of a kind, as it is or through a round opening on black, in its colours or a fundus's."""
    picture = KINDS[kind](rng)
    if rng.random() < 0.25:
        picture = tinted(rng, picture)
    if rng.random() < 0.12:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < 0.5:
        picture = on_black(rng, picture)
    return camera(rng, picture)
