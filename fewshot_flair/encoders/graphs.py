"""ONNX graphs of torch networks, and the engines that run them: ONNX Runtime and OpenVINO.

Both compute in float32 on the processor (needs the extra ``onnx`` or ``openvino``).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_flair.disk import writing_to
from fewshot_flair.encoders.base import check_engine
from fewshot_flair.errors import InputError

__all__ = ["IMAGE", "Run", "Vision", "open_graph", "write_graph"]

IMAGE = "image"
"""The name of a graph's input."""
_ONE_FILE = 2**30
"""Numbers of so many bytes and more have their own file beside the graph, which may have 2 GiB."""
_WRITERS = ("onnx", "onnxscript")

Run = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""A batch of prepared images, float32 [B, 3, S, S], to a graph's outputs."""


class Vision(nn.Module):
    """An encoder's `forward` as a module, whose parameters tracing finds: those of its tower."""

    def __init__(self, tower: nn.Module, encode: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.tower, self.encode = tower, encode

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Pixels float32 [B, 3, S, S] to the features, float32."""
        return self.encode(image)


def write_graph(network: nn.Module, side: int, path: Path, outputs: Sequence[str], extra: str) -> None:
    """Write a network that takes float32 images [B, 3, side, side], for any B, as ONNX.

    The same network gives the same bytes: what tracing knows of the place of the code is left out. A network of
    2³⁰ bytes and more has its numbers in a second file, ``NAME.data``.

    Parameters
    ----------
    outputs : sequence of str
        Names of the tensors that `network` gives, in their order.
    extra : str
        The extra to name where a package is missing.

    Raises
    ------
    InputError
        If a package is missing, or the network cannot be traced.
    """
    if lacking := [name for name in _WRITERS if find_spec(name) is None]:
        raise InputError(f"an ONNX graph needs {' and '.join(lacking)}: pip install 'fewshot-flair[{extra}]'")
    network.eval()
    device = next((tensor.device for tensor in network.parameters()), "cpu")
    example = torch.zeros(2, 3, side, side, device=device)
    try:
        with _quietly():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[IMAGE],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            _tidy(program.model.graph)
            held = sum(4 * tensor.numel() for tensor in network.state_dict().values())
            with writing_to(path):
                program.save(path, external_data=held >= _ONE_FILE)
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"torch cannot write this network as ONNX: {reason:.300}") from error


def _tidy(graph: Any) -> None:
    """Leave out where the code lies, and let no value within have the name of an input or output."""
    ends = [*graph.inputs, *graph.outputs]
    taken = {value.name for value in ends}
    within = [*graph.initializers.values()]
    for node in graph.all_nodes():
        node.metadata_props.clear()
        within += node.outputs
    for value in within:
        if value.name in taken and value not in ends:
            value.name = f"inner_{value.name}"
    if not isinstance(graph.inputs[0].shape[0].value, str):
        raise InputError(
            "torch cannot write this network as ONNX for any number of images: its code fixes the number"
        )


def open_graph(path: Path, engine: str) -> Run:
    """Load a graph into an engine, in float32, with as many threads as torch has.

    Raises
    ------
    InputError
        If the engine is not installed.
    """
    check_engine(engine, "float32", "cpu")
    threads = torch.get_num_threads()
    if engine == "openvino":
        import openvino

        asked = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(path, "CPU", asked)
        # a request of its own for each call: requests are not for several threads
        return lambda batch: [
            np.array(out) for out in compiled.create_infer_request().infer([batch]).to_tuple()
        ]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {IMAGE: batch})


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's words on packages that it could use, and on what it will change one day."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
