"""The accelerators of this machine: those that this process may use, and what another one is told
so that it uses some of them and no others.

A device is called as the variable that shows it calls it: by its number or, where this process was
told so, its UUID; one of Neuron by the numbers of its cores.
"""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING

from mlfunc import accelerators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlfunc.function import AcceleratorType

# Nothing, to CUDA and ROCm. A pod that asks for no GPU sees none, either.
_HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": ""}
_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")
# Trainium2 and later show two of their cores as one, unless they are told otherwise.
_LOGICAL = "NEURON_LOGICAL_NC_CONFIG"
_MANY_CORES = 8


def found(
    kind: AcceleratorType,
    environ: Mapping[str, str] = os.environ,
    matches: Callable[[str], Sequence[str]] = glob.glob,
) -> tuple[str, ...]:
    """Those of a kind that this process may use."""
    row = accelerators.TABLE[kind]
    count = next(filter(None, (len(matches(each)) for each in row.counted)), 0)
    cores = _cores(len(matches(row.cores)), environ) if row.cores else 1
    units = [str(number) for number in range(count * cores)]
    for names in row.visible:
        units = _left(units, next((environ[each] for each in names if each in environ), None))
    whole = len(units) - len(units) % cores
    return tuple(",".join(units[at : at + cores]) for at in range(0, whole, cores))


def showing(taken: Sequence[str], kind: AcceleratorType, env: Mapping[str, str]) -> dict[str, str]:
    """The variables `env`, of a process that sees these devices and no others."""
    row = accelerators.TABLE[kind]
    if not row.visible:
        return {**env, **_HIDDEN}
    names = [each for together in row.visible for each in together]
    kept = {name: value for name, value in env.items() if name not in names}
    return {**kept, **row.shares.get(len(taken), {}), names[0]: ",".join(taken)}


def _cores(physical: int, environ: Mapping[str, str]) -> int:
    """So many a process sees of a device."""
    told = environ.get(_LOGICAL, "")
    together = int(told) if told.isdecimal() and int(told) else 2 if physical >= _MANY_CORES else 1
    return max(1, physical // together)


def _left(units: list[str], told: str | None) -> list[str]:
    """What a variable leaves of them. As CUDA has it: from what is none of them on, it says nothing
    (`0,-1,1` is the first alone), and what has no number is a UUID.
    """
    if told is None or not units:
        return units
    kept: dict[str, None] = {}
    for word in _words(told):
        if word.isdecimal() and int(word) < len(units):
            kept[units[int(word)]] = None
        elif word[:1].isalpha():
            kept[word] = None
        else:
            break
    return list(kept)


def _words(told: str) -> Iterator[str]:
    """`0,2-3` -> 0, 2, 3."""
    for word in told.split(","):
        if ends := _RANGE.fullmatch(word.strip()):
            yield from map(str, range(int(ends[1]), int(ends[2]) + 1))
        else:
            yield word.strip()
