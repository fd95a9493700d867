"""What a camera and its operator do to the picture of an eye: field, light, optics, sensor, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .light import blend

__all__ = ["Camera", "CameraRange", "expose", "frame"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """One photograph's settings; every range of `CameraRange` drawn once.

    Parameters
    ----------
    diameter : int
        Of the field of view, px.
    cut : float
        Height kept above and below the centre, in radii; 1 is the full circle.
    aspect : float
        Width of the whole picture over the diameter.
    zoom : float
        Magnification relative to 45 degrees.
    gaze : tuple of two float
        Where the centre of the picture looks, in radii.
    roll : float
        Rotation, rad.
    """

    diameter: int
    cut: float
    aspect: float
    zoom: float
    gaze: tuple[float, float]
    roll: float
    exposure: float
    gamma: float
    gains: tuple[float, float, float]
    saturation: float
    vignette: float
    slope: tuple[float, float]
    blur: float
    sharpen: float
    noise: float
    haze: float
    haze_colour: tuple[float, float, float]
    reflex: float
    rim: float
    dust: int
    border: float
    quality: int


@dataclass(frozen=True)
class CameraRange:
    """Ranges from which each photograph's `Camera` is drawn; the defaults are wide (domain randomisation).

    Parameters
    ----------
    disc_centred : float
        Share of photographs centred on the optic disc.
    full_circle : float
        Share that show the whole circle; the others are cut above and below.
    """

    diameter: Range = (400, 460)
    cut: Range = (0.72, 1.0)
    full_circle: float = 0.35
    aspect: Range = (1.0, 1.4)
    zoom: Range = (0.80, 1.20)
    gaze: Range = (-0.14, 0.14)
    disc_centred: float = 0.10
    roll: Range = (-0.12, 0.12)
    exposure: Range = (0.50, 1.30)
    gamma: Range = (0.75, 1.35)
    red: Range = (0.85, 1.2)
    green: Range = (0.85, 1.15)
    blue: Range = (0.6, 1.3)
    saturation: Range = (0.8, 1.35)
    vignette: Range = (0.0, 0.55)
    slope: Range = (-0.25, 0.25)
    blur: Range = (0.2, 1.6)
    sharpen: Range = (0.0, 1.2)
    noise: Range = (0.0, 0.022)
    haze: Range = (0.0, 0.22)
    reflex: Range = (0.0, 0.22)
    rim: Range = (0.0, 0.45)
    dust: Range = (0, 5)
    border: Range = (0.0, 0.03)
    quality: Range = (60, 96)

    def sample(self, rng: np.random.Generator, disc: np.ndarray) -> Camera:
        """Draw one photograph's settings; `disc` (radii) is where a disc-centred picture looks."""

        def draw(name: str) -> float:
            return float(rng.uniform(*getattr(self, name)))

        full = rng.random() < self.full_circle
        gaze = np.array([draw("gaze"), draw("gaze")])
        if rng.random() < self.disc_centred:
            gaze += 0.8 * disc
        tint = rng.uniform(0.5, 0.95) * np.array([1.0, rng.uniform(0.65, 1.0), rng.uniform(0.35, 1.0)])
        return Camera(
            diameter=int(draw("diameter")),
            cut=1.0 if full else draw("cut"),
            aspect=draw("aspect"),
            zoom=draw("zoom"),
            gaze=(float(gaze[0]), float(gaze[1])),
            roll=draw("roll"),
            exposure=draw("exposure"),
            gamma=draw("gamma"),
            gains=(draw("red"), draw("green"), draw("blue")),
            saturation=draw("saturation"),
            vignette=draw("vignette"),
            slope=(draw("slope"), draw("slope")),
            blur=draw("blur"),
            sharpen=draw("sharpen"),
            noise=draw("noise"),
            haze=draw("haze") * rng.random(),
            haze_colour=(float(tint[0]), float(tint[1]), float(tint[2])),
            reflex=draw("reflex") * float(rng.random() < 0.5),
            rim=draw("rim") * float(rng.random() < 0.35),
            dust=int(rng.integers(int(self.dust[0]), int(self.dust[1]) + 1)) if rng.random() < 0.3 else 0,
            border=draw("border") * float(rng.random() < 0.4),
            quality=int(draw("quality")),
        )


def expose(
    rng: np.random.Generator, scene: np.ndarray, camera: Camera, centre: tuple[float, float]
) -> np.ndarray:
    """Photograph a scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every draw.
    scene : ndarray of shape [3, H, W], float32
        Linear RGB of the field of view; overwritten.
    camera : Camera
        Settings.
    centre : tuple of two float
        Centre of the field of view, px.

    Returns
    -------
    ndarray of shape [H, W, 3], uint8
        RGB, black outside the field of view.
    """
    height, width = scene.shape[1:]
    radius = camera.diameter / 2
    x = (np.arange(width, dtype=np.float32) - centre[0]) / radius
    y = (np.arange(height, dtype=np.float32) - centre[1]) / radius
    squared = (x**2)[None, :] + (y**2)[:, None]
    light = camera.exposure * (1.0 - camera.vignette * squared)
    light *= 1.0 + camera.slope[0] * x[None, :] + camera.slope[1] * y[:, None]
    scene *= light
    _scatter(rng, scene, camera, squared, x, y)
    picture = cv2.transform(cv2.merge(list(scene)), _colour_matrix(camera))
    if camera.blur > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur)
    if camera.sharpen > 0.05:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.8)
        picture = cv2.addWeighted(picture, 1.0 + camera.sharpen, soft, -camera.sharpen, 0.0)
    # Sensor codes of 12 bits, so that the tone curve is a table.
    codes = np.arange(4096, dtype=np.float32) / 4095.0
    curve = np.maximum(codes, 1e-4) ** np.float32(camera.gamma / 2.0)
    picture = curve[(np.clip(picture, 0.0, 1.0) * np.float32(4095.0)).astype(np.uint16)]
    edge = np.clip((1.0 - np.sqrt(squared)) * radius / 1.5, 0.0, 1.0)
    if camera.noise > 0.001:
        grain = np.empty((height, width, 3), np.float32)
        cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
        cv2.randn(grain, (0.0,) * 3, (camera.noise,) * 3)  # type: ignore[call-overload]
        picture = cv2.add(picture, grain)
    picture = cv2.multiply(picture, cv2.merge([edge * 255.0] * 3))
    picture = cv2.add(picture, cv2.merge([(1.0 - edge) * (255.0 * camera.border)] * 3))
    return np.clip(picture + 0.5, 0.0, 255.0).astype(np.uint8)


def _scatter(
    rng: np.random.Generator,
    scene: np.ndarray,
    camera: Camera,
    squared: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
) -> None:
    """Light that did not come from the retina: haze, the lens reflex, the bright rim, dust."""
    veil = np.zeros(squared.shape, np.float32)
    if camera.haze > 0.01:
        clouds = cv2.resize(
            rng.random((4, 4), np.float32), squared.shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        veil += camera.haze * (0.5 + clouds) * 0.7
    if camera.reflex > 0.01:
        cx, cy = rng.uniform(-0.3, 0.3, 2)
        wx, wy = rng.uniform(0.04, 0.15, 2)
        spot = np.exp(-(((y - cy) / wy) ** 2))[:, None] * np.exp(-(((x - cx) / wx) ** 2))[None, :]
        veil += np.float32(camera.reflex) * spot.astype(np.float32)
    if camera.rim > 0.01:
        angle = rng.uniform(0, 2 * np.pi)
        towards = np.clip(float(np.cos(angle)) * x[None, :] + float(np.sin(angle)) * y[:, None], 0, None) ** 2
        veil += camera.rim * towards * np.clip((squared - 0.75) / 0.25, 0, 1) ** 2
    blend(scene, veil, camera.haze_colour)
    for _ in range(camera.dust):
        column, row = rng.integers(0, [scene.shape[2], scene.shape[1]])
        rows, columns = slice(max(0, row - 16), row + 16), slice(max(0, column - 16), column + 16)
        size = float(rng.uniform(1.0, 6.0))
        away = ((np.arange(scene.shape[1])[rows] - row) ** 2)[:, None] + (
            np.arange(scene.shape[2])[columns] - column
        ) ** 2
        blend(
            scene[:, rows, columns], rng.uniform(0.1, 0.5) * np.exp(-away / size**2), rng.uniform(0.1, 0.9, 3)
        )


def _colour_matrix(camera: Camera) -> np.ndarray:
    grey = np.full((3, 3), 1 / 3)
    mix = camera.saturation * np.eye(3) + (1.0 - camera.saturation) * grey
    return (np.diag(camera.gains) @ mix).astype(np.float32)


def frame(picture: np.ndarray, camera: Camera) -> tuple[np.ndarray, tuple[int, int]]:
    """Put the field of view into the middle of the whole picture; returns it and the field's corner (x, y)."""
    width = picture.shape[1]
    whole = max(width, int(camera.aspect * camera.diameter))
    left = (whole - width) // 2
    if left == 0:
        return picture, (0, 0)
    level = int(255 * camera.border)
    return cv2.copyMakeBorder(
        picture, 0, 0, left, whole - width - left, cv2.BORDER_CONSTANT, value=[level] * 3
    ), (
        left,
        0,
    )
