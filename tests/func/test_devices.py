"""The accelerators of a machine, as it shows them in files, and what a process is shown of them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import accelerators, devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.function import AcceleratorType


def has(*files: str) -> Callable[[str], list[str]]:
    """A machine with these files."""
    return lambda pattern: [each for each in files if fnmatchcase(each, pattern)]


GPUS = has("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2", "/dev/nvidiactl", "/dev/nvidia-uvm")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, ("0", "1", "2")),
        ("", ()),
        ("-1", ()),
        ("2,0", ("2", "0")),
        (" 1 , 1 ", ("1",)),
        ("0,-1,1", ("0",)),
        ("1,7,0", ("1",)),
        ("GPU-8932f937,0", ("GPU-8932f937", "0")),
        ("MIG-7a1c/1/0", ("MIG-7a1c/1/0",)),
    ],
)
def test_those_that_this_process_may_use_are_there_and_no_others(
    told: str | None, expected: tuple[str, ...]
) -> None:
    environ = {} if told is None else {"CUDA_VISIBLE_DEVICES": told}

    assert devices.found("nvidia", environ, GPUS) == expected
    assert devices.found("nvidia", environ, has("/dev/nvidiactl")) == ()


def test_each_variable_of_rocm_goes_by_what_the_one_before_has_left() -> None:
    gpus = has(*(f"/sys/module/amdgpu/drivers/pci:amdgpu/0000:{n}3:00.0" for n in "0123"))

    assert devices.found("amd", {}, gpus) == ("0", "1", "2", "3")
    both = {"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "1"}
    assert devices.found("amd", both, gpus) == ("1",)
    same = {"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "1"}
    assert devices.found("amd", same, gpus) == ("1",)


@pytest.mark.parametrize(
    ("cores", "environ", "expected"),
    [
        (2, {}, ("0,1", "2,3")),
        (2, {"NEURON_RT_VISIBLE_CORES": "2-3"}, ("2,3",)),
        (2, {"NEURON_RT_VISIBLE_CORES": "1"}, ()),
        (8, {}, ("0,1,2,3", "4,5,6,7")),
        (8, {"NEURON_LOGICAL_NC_CONFIG": "1"}, ("0,1,2,3,4,5,6,7", "8,9,10,11,12,13,14,15")),
        (0, {}, ("0", "1")),
    ],
)
def test_a_device_of_neuron_is_its_cores(
    cores: int, environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    at = "/sys/devices/virtual/neuron_device/neuron0/neuron_core"
    machine = has("/dev/neuron0", "/dev/neuron1", *(f"{at}{each}" for each in range(cores)))

    assert devices.found("neuron", environ, machine) == expected


def test_tpus_are_counted_wherever_their_driver_shows_them() -> None:
    assert devices.found("tpu", {}, has("/dev/accel0", "/dev/accel1", "/dev/vfio/0")) == ("0", "1")
    assert devices.found("tpu", {}, has("/dev/vfio/0", "/dev/vfio/vfio")) == ("0",)


def test_a_process_sees_what_it_has_and_no_others() -> None:
    env = {"A": "b", "CUDA_VISIBLE_DEVICES": "0", "HIP_VISIBLE_DEVICES": "1"}

    assert devices.showing(["1", "2"], "nvidia", env) == {**env, "CUDA_VISIBLE_DEVICES": "1,2"}
    assert devices.showing(["3"], "amd", env) == {"A": "b", "ROCR_VISIBLE_DEVICES": "3"}
    assert devices.showing([], "cpu", env) == {
        **env,
        "CUDA_VISIBLE_DEVICES": "",
        "ROCR_VISIBLE_DEVICES": "",
    }
    assert devices.showing(["2"], "tpu", {}) == {
        "TPU_VISIBLE_CHIPS": "2",
        "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
        "TPU_PROCESS_BOUNDS": "1,1,1",
    }


@given(st.text("0123456789-, GMU\n"), st.sampled_from([*accelerators.TABLE]))
def test_whatever_a_variable_says_no_device_comes_twice(told: str, kind: AcceleratorType) -> None:
    environ = {name: told for names in accelerators.TABLE[kind].visible for name in names}

    found = devices.found(kind, environ, lambda pattern: ["one", "two", "three"])

    assert len({*found}) == len(found)
    assert all(re.fullmatch(r"[0-9,]+|[^,]*", each) for each in found)
