"""What `make sample` shows, without a cluster: a real model deployed, asked while it is at zero and
while it is not, an event that goes on to a second function, and both back at zero.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent
MLFUNC = (sys.executable, "-m", "mlfunc")
TEXT = '{"text": "a happy dog"}'
QUESTION = '{"text": "the price of money"}'
# So short, for nobody wants to watch a minute of nothing: it is 60s else.
SOON = "scale: {window: 6s}\n"
SIMILARITY_YAML = f"""\
{SOON}\
events:
  subscriptions:
    - filter: {{type: com.example.text}}
"""
# The second function: what the first one answers to an event comes to it as an event.
NOTICE_YAML = f"""\
name: notice
predictor: predictor.py:Notice
{SOON}\
events:
  subscriptions:
    - filter: {{type: dev.mlfunc.similarity.result}}
"""
NOTICE_PY = '''\
class Notice:
    """Notes down which sentence a text was closest to."""

    example = [{"sentence": "It will rain.", "score": 0.9}]

    def predict(self, matches):
        best = matches[0]
        print(f"noticed: {best['sentence']} ({best['score']:.2f})", flush=True)
'''


def main() -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mlfunc-sample-") as folder:
        try:
            show(Path(folder))
        except subprocess.CalledProcessError as failed:  # which has said why
            raise SystemExit(failed.returncode) from None
    say(f"all of it took {time.perf_counter() - began:.1f} s")


def show(folder: Path) -> None:
    env = surroundings(folder)
    mlfunc = Mlfunc(folder, env)
    shutil.copytree(SAMPLES / "similarity", folder / "similarity")
    add(folder / "similarity" / "mlfunc.yaml", SIMILARITY_YAML)
    try:
        step("a real model (MiniLM, on the CPU) from samples/similarity")
        mlfunc("deploy", "--path", "similarity")
        step("a second function, which gets the events that the first one answers with")
        mlfunc("create", "notice")
        write_notice(folder / "notice")
        mlfunc("deploy", "--path", "notice")
        step("nobody asks for anything, so nothing runs")
        mlfunc.wait_for_zero()
        step("the first request waits for an instance, the second does not")
        mlfunc("invoke", "similarity", "--data", TEXT)
        mlfunc("invoke", "similarity", "--data", TEXT)
        step("an event goes to the broker, to the first function, and its answer to the second")
        mlfunc("emit", "--type", "com.example.text", "--data", QUESTION)
        mlfunc.wait_for_line("notice", "noticed: Money")
        mlfunc.wait_for_zero()
    finally:
        mlfunc("platform", "stop")


def surroundings(folder: Path) -> dict[str, str]:
    """State of its own, so that nobody's functions are touched; environments are shared."""
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "MLFUNC_PLATFORM": "local"}
    if home := env.pop("MLFUNC_HOME", None):
        shared = Path(home).absolute()
        shared.mkdir(parents=True, exist_ok=True)
        (folder / "cache").mkdir()
        (folder / "cache" / "mlfunc").symlink_to(shared)
        env["XDG_CACHE_HOME"] = str(folder / "cache")
    return env


def write_notice(folder: Path) -> None:
    (folder / "mlfunc.yaml").write_text(NOTICE_YAML, encoding="utf-8")
    (folder / "predictor.py").write_text(NOTICE_PY, encoding="utf-8")
    shown = "\n".join(f"    {line}" for line in NOTICE_PY.splitlines())
    say(f"notice/predictor.py is to be:\n{shown}")


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


class Mlfunc:
    """Runs commands where the functions are, and says how long each took."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env

    def __call__(self, *arguments: str) -> None:
        with timed(f"$ {shlex.join(('mlfunc', *arguments))}"):
            subprocess.run([*MLFUNC, *arguments], cwd=self.folder, env=self.env, check=True)

    def wait_for_zero(self) -> None:
        """As `mlfunc list` tells it."""
        with timed("$ mlfunc list"):
            while any(each["replicas"] for each in self.listed()):
                time.sleep(0.2)
            subprocess.run([*MLFUNC, "list"], cwd=self.folder, env=self.env, check=True)

    def listed(self) -> list[dict[str, Any]]:
        command = [*MLFUNC, "list", "--output", "json"]
        listed = subprocess.run(
            command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, check=True
        )
        return json.loads(listed.stdout)

    def wait_for_line(self, name: str, text: str) -> None:
        """Until a function says it."""
        command = [*MLFUNC, "logs", name, "--follow"]
        with (
            timed(f"$ mlfunc logs {name} --follow"),
            subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
            ) as logs,
        ):
            for line in logs.stdout or ():
                if text in line:
                    print(line, end="", flush=True)
                    break
            logs.terminate()


@contextmanager
def timed(title: str) -> Iterator[None]:
    say(title)
    began = time.perf_counter()
    yield
    print(f"  ... {time.perf_counter() - began:.2f} s", flush=True)


def step(title: str) -> None:
    say(f"# {title}")


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
