"""Rendered fundus photographs: drawn patients with known findings, for teaching, tests and pre-training.

Nothing here is a photograph of a person. `render_patient` draws both eyes of a patient of a `Population`
with a camera of a `CameraRange`; the same generator state gives the same bytes.
"""

from .camera import Camera, CameraRange
from .findings import GRADES, QUADRANTS, Findings
from .pathology import LESION_MAPS
from .patients import Eye, Photograph, Population, make_eye, photograph, render_patient

__all__ = [
    "GRADES",
    "LESION_MAPS",
    "QUADRANTS",
    "Camera",
    "CameraRange",
    "Eye",
    "Findings",
    "Photograph",
    "Population",
    "make_eye",
    "photograph",
    "render_patient",
]
