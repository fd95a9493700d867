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
