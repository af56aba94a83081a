"""An input of every kind that a form has a control for; the answer shows what arrived."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec


@dataclass
class Options:
    language: Literal["en", "de", "fr", "it", "es"]
    strict: bool = False


@dataclass
class Box:
    x: float
    y: float


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)
    parent: Tree | None = None


class Generate:
    """Echo an input that has a field of every kind.

    The answer also holds a vector, as embeddings do,
    so that folding has something to fold.
    """

    example = {
        "prompt": "Once upon a time",
        "mode": "exact",
        "options": {"language": "en"},
        "stop": ["END"],
        "boxes": [{"x": 1, "y": 2.5}, {"x": 3, "y": 4}],
    }

    def predict(
        self,
        prompt: Annotated[str, msgspec.Meta(description="What to go on from.", max_length=200)],
        mode: Literal["fast", "exact"],
        options: Options,
        temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.7,
        steps: int = 20,
        echo: bool = True,
        stop: list[str] = [],  # noqa: B006, RUF100 - as users write it
        weights: list[float] = [],  # noqa: B006, RUF100 - as users write it
        boxes: list[Box] = [],  # noqa: B006, RUF100 - as users write it
        seed: int | None = None,
        tree: Tree | None = None,
        extra: dict[str, float] = {},  # noqa: B006, RUF100 - as users write it
    ) -> dict[str, Any]:
        time.sleep(0.02)
        received = {
            "prompt": prompt,
            "mode": mode,
            "options": options,
            "temperature": temperature,
            "steps": steps,
            "echo": echo,
            "stop": stop,
            "weights": weights,
            "boxes": boxes,
            "seed": seed,
            "tree": tree,
            "extra": extra,
        }
        return {"received": received, "vector": [i / 384 for i in range(384)], "large": 2**60 + 1}
