"""What functions compute on: one row for each accelerator, and nothing but data.

A row says where its packages come from, which of them are heavy, which have no place beside it, and
how Kubernetes calls it. Which CUDA a torch needs is not said here: its own metadata does.
Sources: README files of the device plugins of NVIDIA, AMD, Neuron and GKE; pytorch.org; of what a
process is shown, the guides of CUDA, ROCm (GPU isolation), the Neuron Runtime, and libtpu.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlfunc.function import AcceleratorType
    from mlfunc.lock import Wheel

TORCH_INDEX = "MLFUNC_TORCH_INDEX"

_TORCH = ("torch", "torchvision", "torchaudio")
_PYTORCH = "https://download.pytorch.org/whl/"
# Packages that are large, and change with their accelerator rather than with the function.
_HEAVY = (*_TORCH, "triton", "onnxruntime", "jaxlib", "tensorflow", "tensorflow-cpu")
_CUDA = (
    r"nvidia-(?!ml-py==).*|cuda-.*|triton==.*|pytorch-triton==.*|.*-cu1\d==.*|cupy-cuda.*"
    r"|jax-cuda.*|onnxruntime-gpu==.*|.*\+cu\d+"
)
_ROCM = r"pytorch-triton-rocm==.*|triton-rocm==.*|jax-rocm.*|onnxruntime-rocm==.*|.*\+rocm.*"
_PLAIN = r"(torch|torchvision|torchaudio)==.*\+cpu"


@dataclass(frozen=True)
class Index:
    """A package index, and the packages that come from it and from no other.

    `helpers` are those that the packages need and that no other index has.
    """

    url: str
    packages: tuple[str, ...]
    helpers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accelerator:
    """A row: `tier` 1 is tested and supported, 2 is supported, 3 is an experiment."""

    tier: int
    architectures: tuple[str, ...]
    indexes: tuple[Index, ...]
    stack: tuple[str, ...]  # patterns of the packages that are layers of their own
    foreign: str  # expression for name==version of packages that have no place here
    variables: Mapping[str, str] = field(default_factory=dict)
    resource: str | None = None  # as pods ask for it; it names the taint of its nodes too
    product_label: str | None = None  # of nodes, that `accelerator.product` selects by
    devices: tuple[str, ...] = ()  # files that a machine which has it shows
    # Of each device there is one such file. The first pattern that any file matches counts.
    counted: tuple[str, ...] = ()
    cores: str = ""  # pattern of the cores of the first device, where a process is shown cores
    # Variables that say which devices a process sees, each by what the one before has left; of
    # those that stand together, the first that is set counts.
    visible: tuple[tuple[str, ...], ...] = ()
    # What else a process is told that sees so many and no more.
    shares: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def is_heavy(self, package: str) -> bool:
        """Whether a package, by its normalised name, belongs to the stack."""
        return any(fnmatchcase(package, pattern) for pattern in self.stack)

    def foreign_of(self, packages: Iterable[Wheel]) -> tuple[Wheel, ...]:
        """Those that have no place beside this accelerator."""
        return tuple(p for p in packages if self.has_foreign([f"{p.name}=={p.version}"]))

    def has_foreign(self, packages: Iterable[str]) -> bool:
        """Whether one of these, as name==version, has no place beside it."""
        pattern = re.compile(self.foreign)
        return any(pattern.fullmatch(package) for package in packages)


TABLE: Mapping[AcceleratorType, Accelerator] = {
    "cpu": Accelerator(
        tier=1,
        architectures=("amd64", "arm64"),
        indexes=(Index(_PYTORCH + "cpu", _TORCH),),
        stack=_HEAVY,
        foreign=f"{_CUDA}|{_ROCM}",
    ),
    "nvidia": Accelerator(
        tier=1,
        architectures=("amd64", "arm64"),
        indexes=(Index(_PYTORCH + "cu130", _TORCH),),
        stack=(*_HEAVY, "nvidia-*", "cuda-*", "jax-cuda*", "onnxruntime-gpu", "cupy-*"),
        foreign=f"{_PLAIN}|{_ROCM}",
        # Never NVIDIA_VISIBLE_DEVICES=all: a pod that asks for no GPU would see them all.
        variables={"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
        resource="nvidia.com/gpu",
        product_label="nvidia.com/gpu.product",
        devices=("/dev/nvidia0", "/dev/nvidiactl"),
        counted=("/dev/nvidia[0-9]*",),
        visible=(("CUDA_VISIBLE_DEVICES",),),
    ),
    "amd": Accelerator(
        tier=2,
        architectures=("amd64",),
        indexes=(Index(_PYTORCH + "rocm7.2", _TORCH, helpers=("triton-rocm",)),),
        stack=(*_HEAVY, "pytorch-triton-rocm", "triton-rocm", "jax-rocm*", "onnxruntime-rocm"),
        foreign=f"{_PLAIN}|{_CUDA}",
        resource="amd.com/gpu",
        product_label="amd.com/gpu.product-name",
        devices=("/dev/kfd",),
        counted=("/sys/module/amdgpu/drivers/pci:amdgpu/[0-9a-f]*:*",),
        visible=(("ROCR_VISIBLE_DEVICES",), ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")),
    ),
    "neuron": Accelerator(
        tier=2,
        architectures=("amd64",),
        indexes=(
            Index(_PYTORCH + "cpu", _TORCH),
            # The public index has a stub of torch-neuronx: it must not come from there.
            Index(
                "https://pip.repos.neuron.amazonaws.com",
                ("torch-neuronx", "neuronx-cc", "libneuronxla"),
            ),
        ),
        stack=(*_HEAVY, "torch-xla", "torch-neuronx", "neuronx-*", "libneuronxla"),
        foreign=f"{_CUDA}|{_ROCM}",
        resource="aws.amazon.com/neuron",
        product_label="node.kubernetes.io/instance-type",
        devices=("/dev/neuron0",),
        counted=("/dev/neuron[0-9]*",),
        cores="/sys/devices/virtual/neuron_device/neuron0/neuron_core[0-9]*",
        visible=(("NEURON_RT_VISIBLE_CORES",),),
    ),
    "tpu": Accelerator(
        tier=3,
        architectures=("amd64",),
        indexes=(Index(_PYTORCH + "cpu", _TORCH),),
        stack=(*_HEAVY, "torch-xla", "torch-tpu", "libtpu"),
        foreign=f"{_CUDA}|{_ROCM}",
        variables={"PJRT_DEVICE": "TPU"},
        resource="google.com/tpu",
        product_label="cloud.google.com/gke-tpu-accelerator",
        devices=("/dev/accel0", "/dev/vfio/0"),
        counted=("/dev/accel[0-9]*", "/dev/vfio/[0-9]*"),
        visible=(("TPU_VISIBLE_CHIPS", "TPU_VISIBLE_DEVICES"),),
        shares={
            count: {"TPU_CHIPS_PER_PROCESS_BOUNDS": bounds, "TPU_PROCESS_BOUNDS": "1,1,1"}
            for count, bounds in ((1, "1,1,1"), (2, "1,2,1"), (4, "2,2,1"))
        },
    ),
}


def find(kind: AcceleratorType, environ: Mapping[str, str] = os.environ) -> Accelerator:
    """The row of an accelerator, with the index of torch that `$MLFUNC_TORCH_INDEX` names.

    That is a URL or a folder; where it is empty, torch comes from where all packages come from.
    """
    row = TABLE[kind]
    given = environ.get(TORCH_INDEX)
    if given is None:
        return row
    others = tuple(index for index in row.indexes if "torch" not in index.packages)
    own = (replace(i, url=given.strip()) for i in row.indexes if "torch" in i.packages)
    return replace(row, indexes=(*own, *others) if given.strip() else others)


def check_platform(kind: AcceleratorType, arch: str) -> None:
    """Whether there are packages for an accelerator on machines of this architecture.

    Raises:
        UsageError: there are none.

    """
    known = TABLE[kind].architectures
    if arch not in known:
        message = f"accelerator {kind} has no packages for linux/{arch}"
        raise UsageError(message, f"build for --platform linux/{known[0]}")
