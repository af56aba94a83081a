"""What a supervisor, and the functions that it starts, get of the variables of who starts it.

All others are that user's alone: what was in the terminal of who came first (keys, PYTHONPATH,
settings of a function) is not for functions of later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HANDED_ON = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "LD_LIBRARY_PATH", "MLFUNC_HOME"),
        *("LANG", "LANGUAGE", "TZ"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
_FAMILIES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "NEURON_", "TPU_")
_PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy", "all_proxy"})


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the system."""
    return {name: value for name, value in environ.items() if _is_handed_on(name)}


def _is_handed_on(name: str) -> bool:
    return name in _HANDED_ON or name.startswith(_FAMILIES) or name.lower() in _PROXIES
