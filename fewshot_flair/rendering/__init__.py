"""Rendered fundus photographs: drawn patients with known findings, for teaching, tests and pre-training.

Nothing here is a photograph of a person. `render_patient` draws both eyes of a patient of a `Population`
with a camera of a `CameraRange`; the same generator state gives the same bytes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
