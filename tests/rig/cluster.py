"""The cluster that the environment names, and functions deployed to it by the real command line.

KUBECONFIG: any cluster with Knative Serving and Eventing. MLFUNC_REGISTRY: a registry that this
machine and the nodes reach by the same name, `http://` before it or not. MLFUNC_INGRESS: where
functions are reached from here, by Host header. MLFUNC_BASE_IMAGE: an image with Python there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

_MLFUNC = Path(sys.executable).with_name("mlfunc")
_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
_POLL_SECONDS = 0.2
_VARIABLES = ("KUBECONFIG", "MLFUNC_REGISTRY", "MLFUNC_INGRESS", "MLFUNC_BASE_IMAGE")
# So little that a dozen fit a small node, and yet they start fast.
_SMALL = {"cpu": "10m", "memory": "128Mi", "limits": {"cpu": "1", "memory": "512Mi"}}


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed with -o json."""
        return json.loads(self.out)

    def ok(self) -> Ended:
        """Itself, if it succeeded."""
        assert self.code == 0, f"{' '.join(self.args)} ended with {self.code}\n{self.out}{self.err}"
        return self


@dataclass(frozen=True)
class Cluster:
    """The cluster; `namespace` is this test's own."""

    namespace: str
    home: Path  # MLFUNC_HOME: what one test built, the next need not build again
    command: Path = _MLFUNC
    ingress: str = field(default_factory=lambda: os.environ["MLFUNC_INGRESS"])

    @property
    def registry(self) -> str:
        """With a scheme."""
        return with_scheme(os.environ["MLFUNC_REGISTRY"])

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        command = ["kubectl", "-n", self.namespace, *args]
        return ended(command, stdin=stdin).ok().out

    def get(self, kind: str, name: str = "", *, labels: str = "") -> Any:
        """An object, or the items of a list."""
        select = ["-l", labels] if labels else []
        found = json.loads(
            self.kubectl("get", kind, *([name] if name else []), *select, "-o", "json")
        )
        return found if name else found["items"]

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """As kubectl does."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def mlfunc(self, *args: str | Path, code: int | None = 0, stdin: str | None = None) -> Ended:
        """The real command line, in this namespace; `code` is how it has to end, None: anyhow."""
        found = ended(
            [str(each) for each in (self.command, *args)], stdin=stdin, MLFUNC_HOME=str(self.home)
        )
        if code is not None:
            assert found.code == code, f"{found.code}, not {code}\n{found.out}{found.err}"
        return found

    def project(self, folder: Path, predictor: str, **keys: Any) -> Path:
        """A project of the last class of `predictor`; `keys` are those of mlfunc.yaml, beside ours."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "predictor.py").write_text(predictor, encoding="utf-8")
        given = {
            "name": folder.name,
            "predictor": f"predictor.py:{last_class(predictor)}",
            "registry": f"{self.registry}/{self.namespace}",
            "namespace": self.namespace,
            "build": {"base": with_scheme(os.environ["MLFUNC_BASE_IMAGE"])},
            "resources": _SMALL,
            **keys,
        }
        (folder / "mlfunc.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        return folder

    def host(self, name: str) -> str:
        """Of a function, as its Route has it."""
        url: str = self.get("ksvc", name)["status"]["url"]
        return url.partition("://")[2]

    def request(
        self, name: str, body: Any = None, *, path: str = "/", timeout: float = 60, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """A request to a function through the ingress: POST of JSON, or GET without a body."""
        return ask(f"{self.ingress}{path}", self.host(name), body, timeout=timeout, **headers)

    def pods(self, name: str) -> list[Any]:
        """Of a function, the newest last."""
        found = self.get("pods", labels=f"serving.knative.dev/service={name}")
        return sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])


def ask(
    url: str, host: str, body: Any = None, *, timeout: float = 60, **headers: str
) -> urllib3.BaseHTTPResponse:
    """One request on a connection of its own, never tried again."""
    sent = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"content-type": "application/json"}
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        return pool.request(
            "GET" if body is None else "POST",
            url,
            body=sent,
            headers={"host": host, **kind, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )


def ended(command: list[str], *, stdin: str | None = None, **environ: str) -> Ended:
    """A command, once it has ended."""
    finished = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )
    return Ended(tuple(command), finished.returncode, finished.stdout, finished.stderr)


def eventually(condition: Callable[[], T], what: str, *, seconds: float = 60) -> T:
    """What `condition` gives, once it is something; `what` is said if it never is."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"after {seconds:.0f} s still not: {what}"
        time.sleep(_POLL_SECONDS)
    return found


@contextlib.contextmanager
def fresh(home: Path, mlfunc: Path = _MLFUNC) -> Iterator[Cluster]:
    """The cluster with a namespace that nobody has used; it is deleted afterwards."""
    missing = [name for name in _VARIABLES if name not in os.environ]
    assert not missing, f"{', '.join(missing)} not set: CONTRIBUTING.md says what they name"
    cluster = Cluster(f"mlfunc-test-{uuid.uuid4().hex[:8]}", home, mlfunc)
    cluster.kubectl("create", "namespace", cluster.namespace)
    try:
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")
        # Else each pod keeps its place for another minute, as one that still has requests does.
        cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--wait=false")


def last_class(predictor: str) -> str:
    """The name of the last class of a module."""
    found: str = _CLASS.findall(predictor)[-1]
    return found


def with_scheme(address: str) -> str:
    """The address of a registry that speaks plain HTTP, where it does not say how it speaks."""
    return address if "://" in address else f"http://{address}"
