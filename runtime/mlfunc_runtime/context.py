"""What `load` gets: the models' paths, the device, the function's own configuration, a logger, and
`serve.compile` applied.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc_runtime.settings import Compile, Settings

# accelerator: (PyTorch's name of the device, a file that is there when its driver is)
_DEVICES = {
    "nvidia": ("cuda", Path("/dev/nvidiactl")),
    "amd": ("cuda", Path("/dev/kfd")),
    "neuron": ("xla", Path("/dev/neuron0")),
    "tpu": ("xla", Path("/dev/accel0")),
}


class Context:
    """Handed to `load` and `unload`."""

    def __init__(self, settings: Settings) -> None:
        self._models = settings.models
        self._compile: Compile = settings.compile
        self.config: Mapping[str, Any] = settings.config
        self.device = device(settings.accelerator)
        self.logger = logging.getLogger(settings.name)

    def model(self, name: str = "default") -> Path:
        """The path of a model named in mlfunc.yaml.

        Raises:
            SettingsError: there is none of that name, or nothing at its path.

        """
        return models.find(self._models, name)

    def compile(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        """A PyTorch module as `serve.compile` has it: `none` (itself), `trace` or `inductor`.

        Called with an example of its inputs. What was compiled is called the same way, with any
        number of rows of any length; the module itself comes back, and the log says why, where
        compiling fails or changes the answers.
        """
        from mlfunc_runtime.compiling import compiled

        return compiled(module, self._compile, (args, kwargs))


def device(accelerator: str) -> str:
    """What to write in `tensor.to(...)`: the accelerator's device if its driver is here, else
    "cpu".
    """
    if accelerator not in _DEVICES:
        return "cpu"
    name, driver = _DEVICES[accelerator]
    if driver.exists():
        return name
    logging.getLogger("mlfunc").warning(
        "accelerator %s is not on this machine: running on the cpu", accelerator
    )
    return "cpu"
