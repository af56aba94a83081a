"""The process: how it starts, answers while it starts, drains and leaves."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .isolated import eventually, ticks_in_two_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Process

    Start = Callable[..., Process]

ECHO = """
    import time

    class P:
        \"\"\"Echoes.\"\"\"
        example = {"n": 0}
        def predict(self, n: float) -> float:
            if n: print("predicting", flush=True)
            time.sleep(n)
            return n
"""


def phases(process: Process) -> list[str]:
    return [line["phase"] for line in process.lines if "phase" in line]


def test_a_start_tells_its_phases_and_their_seconds(start: Start) -> None:
    process = start(ECHO)
    assert phases(process) == ["listening", "importing", "loading", "warming", "ready"]
    seconds = process.lines[-1]["startup"]
    assert list(seconds) == ["spawn", "runtime", "import", "load", "warmup", "total"]
    parts = [value for phase, value in seconds.items() if phase != "total"]
    assert seconds["total"] == pytest.approx(sum(parts), abs=0.001)
    assert all({"time", "level", "logger", "message"} <= set(line) for line in process.lines)


def test_it_is_one_process(start: Start) -> None:
    process = start(ECHO)
    children = Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children")
    assert children.read_text() == ""


def test_the_port_answers_while_the_model_loads(start: Start) -> None:
    process = start(
        """
        import time
        class P:
            def load(self): time.sleep(1.5)
            def predict(self, n: int) -> int: return n
        """,
        until="loading",
    )
    assert process.call(path="/health/liveness", method="GET").status == 200
    assert process.call(path="/health/readiness", method="GET").status == 503
    status, problem = process.json(b'{"n": 1}')
    assert (status, problem["detail"]) == (503, "the model is not loaded yet")
    description = json.loads(process.call(path="/", method="GET").read())
    assert description["ready"] is False
    process.until("ready")
    assert process.call(path="/health/readiness", method="GET").status == 200
    assert process.json(b'{"n": 1}') == (200, 1)


@pytest.mark.parametrize(
    ("source", "code", "error"),
    [
        ("import nothing_here", 1, "predictor.py needs nothing_here, which is not installed"),
        ("class P: pass", 1, "P has no method predict"),
        (
            "class P:\n    def predict(self, n): pass\n    def load(self): 1 / 0",
            1,
            "load raised ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_start_that_fails_says_why_and_leaves(
    start: Start, source: str, code: int, error: str
) -> None:
    process = start(source, until="failed")
    failed = process.lines[-1]
    assert failed["error"] == error
    assert "mlfunc_runtime" not in failed["traceback"]
    assert process.wait() == code


def test_a_load_that_raises_shows_the_line_that_did(start: Start) -> None:
    process = start(
        "class P:\n    def predict(self, n): pass\n    def load(self): 1 / 0", until="failed"
    )
    assert "def load(self): 1 / 0" in process.lines[-1]["traceback"]


def test_wrong_settings_are_one_line_and_code_2(start: Start) -> None:
    process = start(ECHO, {"MLFUNC_SERVE_SLOTS": "none"}, until="failed")
    assert "MLFUNC_SERVE_SLOTS" in process.lines[-1]["error"]
    assert process.wait() == 2
    assert len(process.lines) == 1


@pytest.mark.parametrize("variable", ["PORT", "MLFUNC_METRICS_PORT"])
def test_a_taken_port_is_one_line_and_code_98(start: Start, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(ECHO, {variable: str(port)}, until="failed")
        assert process.lines[-1]["error"] == f"port {port} is in use"
        assert process.wait() == 98


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_in_flight_finish(start: Start, number: int) -> None:
    process = start(ECHO)
    with _busy(process, b'{"n": 1}') as connection:
        assert process.stop(number) == 0
        assert connection.recv(65536).endswith(b"1.0")
    draining = next(line for line in process.lines if line.get("phase") == "draining")
    assert draining["in_flight"] == 1


def test_a_second_signal_ends_it_at_once_and_says_what_is_cut_off(start: Start) -> None:
    process = start(ECHO)
    with _busy(process, b'{"n": 30}'):
        process.child.send_signal(signal.SIGTERM)
        process.until("draining")
        asked = time.monotonic()
        assert process.stop() == 3
        assert time.monotonic() - asked < 20
    assert (process.lines[-1]["phase"], process.lines[-1]["in_flight"]) == ("stopped", 1)


@contextlib.contextmanager
def _busy(process: Process, body: bytes) -> Iterator[socket.socket]:
    """A connection whose request has reached predict."""
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(_request(body))
        assert process.child.stdout is not None
        assert process.child.stdout.readline() == "predicting\n"
        yield connection


def _request(body: bytes) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def test_unload_runs_in_the_end(start: Start) -> None:
    process = start("""
        class P:
            def predict(self, n: int) -> int: return n
            def unload(self): print("unloaded", flush=True)
    """)
    assert process.stop() == 0
    assert process.others == ["unloaded"]


@pytest.mark.parametrize(
    ("body", "told", "code"),
    [
        ("raise ValueError('no')", "unload raised ValueError: no", 0),
        ("time.sleep(60)", "unload was not done within serve.drain", 3),
    ],
)
def test_an_unload_that_raises_or_hangs_is_told_and_the_process_leaves(
    start: Start, body: str, told: str, code: int
) -> None:
    process = start(
        f"""
        import time
        class P:
            def predict(self, n: int) -> int: return n
            def unload(self): {body}
        """,
        serve={"drain": "500ms"},
    )
    assert process.stop() == code
    assert told in [line["message"] for line in process.lines]


def test_requests_on_open_connections_are_served_while_draining(start: Start) -> None:
    process = start(ECHO)
    with _busy(process, b'{"n": 1}') as connection:
        connection.sendall(_request(b'{"n": 0}'))
        process.child.send_signal(signal.SIGTERM)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert process.wait() == 0
    assert received.count(b"HTTP/1.1 200 OK") >= 1
    assert b"503" not in received


def test_a_client_that_hangs_up_frees_its_place_in_the_queue(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(ECHO, {"MLFUNC_METRICS_PORT": str(port)})

    def metrics() -> str:
        return process.call(path="/metrics", method="GET", port=port).read().decode()

    def wait_for(sample: str) -> None:
        until = time.monotonic() + 5
        while sample not in metrics():
            assert time.monotonic() < until, metrics()

    with _busy(process, b'{"n": 20}'):
        with socket.create_connection(("127.0.0.1", process.port)) as waiting:
            waiting.sendall(_request(b'{"n": 0}'))
            wait_for("mlfunc_queue 1.0")
        wait_for("mlfunc_queue 0.0")
        wait_for('mlfunc_requests_total{code="499"} 1')
        assert "mlfunc_in_flight 1.0" in metrics()


def test_an_idle_connection_does_not_hold_up_the_end(start: Start) -> None:
    process = start(ECHO)
    with socket.create_connection(("127.0.0.1", process.port)) as idle:
        idle.sendall(_request(b'{"n": 0}'))
        assert idle.recv(65536)
        asked = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - asked < 20
        assert idle.recv(65536) == b""


def test_a_signal_during_a_long_load_ends_the_start(start: Start) -> None:
    process = start(
        "import time\nclass P:\n    def predict(self, n): pass\n    def load(self): time.sleep(60)",
        until="loading",
    )
    asked = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - asked < 20


def test_metrics_have_a_port_of_their_own(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(ECHO, {"MLFUNC_METRICS_PORT": str(port)})
    process.json(b'{"n": 0}')
    text = process.call(path="/metrics", method="GET", port=port).read().decode()
    assert 'mlfunc_requests_total{code="200"} 1' in text
    assert process.call(path="/metrics", method="GET").status == 404
    assert process.call(b"{}", port=port).status == 404


def test_connections_are_kept(start: Start) -> None:
    process = start(ECHO)
    reply = process.call(b'{"n": 0}', content_type="application/json")
    assert (reply.version, reply.headers["Connection"]) == (11, "keep-alive")


def test_memory_is_settled_before_ready(start: Start) -> None:
    process = start("""
        import gc
        class P:
            def load(self): self.during = gc.isenabled()
            def predict(self) -> list: return [self.during, gc.isenabled(), gc.get_freeze_count() > 0]
    """)
    assert process.json(b"{}") == (200, [False, True, True])


def test_threads_are_limited_before_the_predictor_is_imported(start: Start) -> None:
    process = start(
        """
        import os
        N = os.environ["OMP_NUM_THREADS"]
        class P:
            def predict(self) -> str: return N
    """,
        {"OMP_NUM_THREADS": "3"},
    )
    assert process.json(b"{}") == (200, "3")


def test_what_a_start_does_not_need_is_not_imported(start: Start) -> None:
    """Seconds vary, modules do not: each of these would be a tenth of a second of every start."""
    process = start("""
        import sys
        class P:
            example = {}
            def predict(self) -> list[str]: return sorted(sys.modules)
    """)
    _, modules = process.json(b"{}")
    heavy = {
        "flask",
        "werkzeug",
        "jinja2",
        "cloudevents",
        "asyncio",
        "click",
        "numpy",
    }
    assert heavy & set(modules) == set()
    assert len(modules) <= 420


def test_user_logs_are_json_lines_with_the_request(start: Start) -> None:
    process = start("""
        import logging
        class P:
            def before_predict(self, request): logging.getLogger("mine").info("before")
            def predict(self, n: int) -> int:
                logging.getLogger("mine").warning("within %d", n)
                return n
    """)
    process.call(b'{"n": 1}', content_type="application/json", x_request_id="r-42").read()
    process.stop()
    mine = [line for line in process.lines if line["logger"] == "mine"]
    assert [(line["message"], line["request_id"]) for line in mine] == [
        ("before", "r-42"),
        ("within 1", "r-42"),
    ]


def test_blocking_clients_are_patched_in_hooks(start: Start) -> None:
    """Two hooks that sleep 0.5 s side by side take 0.5 s, although they call plain time.sleep."""
    process = start("""
        import time
        class P:
            def before_predict(self, request): time.sleep(0.5)
            def predict(self, n: int) -> int: return n
    """)
    began = time.monotonic()
    threads = [threading.Thread(target=process.json, args=(b'{"n": 1}',)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 8 * 0.5


def test_an_idle_server_uses_no_cpu(start: Start) -> None:
    process = start(ECHO)
    pids = [process.child.pid]
    # It may have to end what its start began.
    eventually(lambda: ticks_in_two_seconds(pids) <= 2, 60)  # of 200


@pytest.mark.parametrize("load", ["raise KeyboardInterrupt", "raise GeneratorExit"])
def test_whatever_ends_a_start_the_process_does_not_stay(start: Start, load: str) -> None:
    source = f"class P:\n    def predict(self, n): pass\n    def load(self): {load}"
    assert start(source, until="failed").wait() == 1


@pytest.mark.parametrize("level", ["error", "warning"])
def test_phases_are_told_at_every_log_level(start: Start, level: str) -> None:
    process = start(ECHO, {"MLFUNC_LOG_LEVEL": level})
    assert phases(process) == ["listening", "importing", "loading", "warming", "ready"]


def test_an_unknown_log_level_is_one_line(start: Start) -> None:
    process = start(ECHO, {"MLFUNC_LOG_LEVEL": "loud"}, until="failed")
    assert process.wait() == 2
    assert process.others == []


def test_requests_are_logged_at_debug_level(start: Start) -> None:
    process = start(ECHO, {"MLFUNC_LOG_LEVEL": "debug"})
    process.json(b'{"n": 0}')
    process.stop()
    (line,) = [line for line in process.lines if line["message"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/", 200)


@pytest.mark.parametrize(
    ("path", "allow"), [("/", "GET, HEAD, POST"), ("/health/liveness", "GET, HEAD")]
)
def test_a_wrong_method_is_told_the_right_ones(start: Start, path: str, allow: str) -> None:
    reply = start(ECHO).call(b"{}", path=path, method="DELETE")
    assert (reply.status, reply.headers["Allow"]) == (405, allow)
    assert json.loads(reply.read())["status"] == 405


def test_without_file_descriptors_it_serves_who_is_there_and_drains(start: Start) -> None:
    process = start(ECHO)
    used = len(list(Path(f"/proc/{process.child.pid}/fd").iterdir()))
    resource.prlimit(process.child.pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", process.port)))
            for _ in range(8)
        ]
        warning = json.loads(process.child.stderr.readline())  # type: ignore[union-attr]
        assert warning["message"] == "connections have to wait: Too many open files"
        clients[0].sendall(_request(b'{"n": 0}'))
        assert clients[0].recv(65536).endswith(b"0.0")
        assert process.stop() == 0
    assert process.others == []


def test_a_place_that_is_given_up_goes_to_who_had_to_wait(start: Start) -> None:
    process = start(ECHO)
    used = len(list(Path(f"/proc/{process.child.pid}/fd").iterdir()))
    resource.prlimit(process.child.pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
    clients = [socket.create_connection(("127.0.0.1", process.port), 30) for _ in range(8)]
    assert process.child.stderr is not None
    assert "connections have to wait" in process.child.stderr.readline()
    for client in clients[:7]:
        client.close()
    with clients[7] as last:
        last.sendall(_request(b'{"n": 0}'))
        assert last.recv(65536).endswith(b"0.0")


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_leaves_frees_the_slot_of_its_stream(start: Start, accept: str) -> None:
    process = start("""
        import itertools, time
        class P:
            def predict(self, n: int, request):
                for i in itertools.count():
                    time.sleep(0.01)
                    if i == 3: print("under way", flush=True)
                    if n: return
                    if request.cancelled:
                        print("cancelled", flush=True)
                    yield i
    """)
    body = b'{"n": 0}'
    sent = _request(body).replace(b"Host: a", b"Host: a\r\nAccept: " + accept.encode())
    assert process.child.stdout is not None
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(sent)
        assert process.child.stdout.readline() == "under way\n"
    left = time.monotonic()
    assert process.call(b'{"n": 1}', content_type="application/json").status == 200
    assert time.monotonic() - left < 20
    assert process.stop() == 0
    assert set(process.others) <= {"cancelled"}
