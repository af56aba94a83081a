"""Two worlds in one process: greenlets of the hub, native threads, and what they share."""

from __future__ import annotations

import _thread
import contextlib
import json
import socketserver
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.patching import locks

from .isolated import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Process

    Start = Callable[..., Process]

_PREAMBLE = """
import sys
from mlfunc_runtime import patching
patching.patch()
import os, queue, select, selectors, signal, socket, subprocess, threading, time
from _thread import get_ident
import gevent
hub = get_ident()

def both(work, threads=4, greenlets=8):
    started = [threading.Thread(target=work) for _ in range(threads)]
    for thread in started: thread.start()
    gevent.joinall([gevent.spawn(work) for _ in range(greenlets)], raise_error=True)
    for thread in started: thread.join()
    return threads + greenlets

class Ticks:
    def __enter__(self):
        self.count, self.greenlet = 0, gevent.spawn(self.run)
        gevent.sleep(0)
        return self
    def run(self):
        while True:
            gevent.sleep(0.01)
            self.count += 1
    def __exit__(self, *_): self.greenlet.kill()
"""


def patched(source: str) -> str:
    """What a patched process prints. It leaves its sockets to its end."""
    warnings = ["-W", "error", "-W", "ignore::ResourceWarning"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", _PREAMBLE + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def at_once(process: Process, bodies: list[bytes]) -> list[tuple[int, Any]]:
    """Post them all together."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(process.json, bodies))


# Locks and queues


@pytest.mark.parametrize(
    "make",
    [
        "threading.Lock()",
        "threading.RLock()",
        "threading.Condition()",
        "threading.Condition(threading.Lock())",
        "threading.Semaphore()",
        "threading.BoundedSemaphore()",
    ],
)
def test_a_lock_lets_one_greenlet_or_thread_in_at_a_time(make: str) -> None:
    printed = patched(f"""
        lock, inside, most, passed = {make}, 0, 0, 0
        def work():
            global inside, most, passed
            for number in range(150):
                with lock:
                    inside += 1
                    most = max(most, inside)
                    if number % 8 == 0: time.sleep(0.0003)
                    inside -= 1
                    passed += 1
        print(both(work) * 150 == passed, most)
    """)
    assert printed == "True 1\n"


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "SimpleQueue"])
def test_nothing_is_lost_in_a_queue_between_greenlets_and_threads(kind: str) -> None:
    printed = patched(f"""
        q, got = queue.{kind}(), []
        def put():
            for number in range(300): q.put(number)
        def get():
            for _ in range(300): got.append(q.get(timeout=30))
        def work(turns=iter(range(12))):
            (put if next(turns) % 2 else get)()
        both(work, 6, 6)
        print(sorted(got) == sorted(list(range(300)) * 6))
    """)
    assert printed == "True\n"


def test_conditions_events_and_barriers_work_across() -> None:
    printed = patched("""
        turn, condition, event, barrier = 0, threading.Condition(), threading.Event(), threading.Barrier(4)
        def play(mine):
            global turn
            barrier.wait(10)
            for _ in range(100):
                with condition:
                    assert condition.wait_for(lambda: turn % 4 == mine, timeout=10)
                    turn += 1
                    condition.notify_all()
        threads = [threading.Thread(target=play, args=(n,)) for n in (0, 1)]
        threads.append(threading.Thread(target=lambda: (time.sleep(0.1), event.set())))
        for thread in threads: thread.start()
        players = [gevent.spawn(play, n) for n in (2, 3)]
        print(event.wait(10))
        gevent.joinall(players, raise_error=True)
        for thread in threads: thread.join()
        print(turn)
    """)
    assert printed == "True\n400\n"


def test_a_greenlet_does_not_starve_beside_a_busy_thread_nor_a_thread_beside_greenlets() -> None:
    printed = patched("""
        lock, ended = threading.Lock(), False
        def hog():
            while not ended:
                with lock: sum(range(20000))
        def hold():
            while not ended:
                with lock: time.sleep(0.001)
        thread = threading.Thread(target=hog)
        thread.start()
        began = time.monotonic()
        for _ in range(20):
            with lock: pass
        ended = time.monotonic() - began
        print(ended < 5)
        thread.join()
        ended = False
        greenlets = [gevent.spawn(hold) for _ in range(10)]
        def thread_side():
            global ended
            for _ in range(20):
                with lock: pass
            ended = True
        threading.Thread(target=thread_side).start()
        print(len(gevent.joinall(greenlets, timeout=20)))
    """)
    assert printed == "True\n10\n"


def test_a_waiter_that_gives_up_passes_its_turn_on() -> None:
    printed = patched("""
        import random
        lock, taken = threading.Lock(), 0
        def work():
            global taken
            for _ in range(100):
                with gevent.Timeout(random.random() / 200, False):
                    if lock.acquire(timeout=random.choice([-1, 0, 0.001, 0.003])):
                        taken += 1
                        try: time.sleep(0.0005)
                        finally: lock.release()
        def thread():
            for _ in range(200):
                with lock: time.sleep(0.0002)
        threads = [threading.Thread(target=thread) for _ in range(3)]
        for each in threads: each.start()
        gevent.joinall([gevent.spawn(work) for _ in range(20)], raise_error=True)
        for each in threads: each.join()
        print(lock.acquire(timeout=1), lock._turns and len(lock._turns), taken > 0)
    """)
    assert printed.split()[0] == "True"
    assert printed.split()[1] in ("0", "deque([])")
    assert printed.split()[-1] == "True"


def test_an_rlock_belongs_to_a_greenlet_not_to_its_thread() -> None:
    printed = patched("""
        lock, seen = threading.RLock(), []
        def work(name):
            with lock, lock:
                seen.append(name)
                time.sleep(0.02)
                seen.append(name)
        gevent.joinall([gevent.spawn(work, n) for n in "ab"], raise_error=True)
        print("".join(seen))
        def release():
            try: lock.release()
            except RuntimeError as error: print(error)
        with lock: gevent.spawn(release).join()
    """)
    assert printed == "aabb\ncannot release un-acquired lock\n"


@given(st.lists(st.sampled_from(["acquire", "release", "locked"])))
def test_a_lock_answers_as_the_native_one(operations: list[str]) -> None:
    ours, native = locks.Lock(), _thread.allocate_lock()
    for name in operations:
        assert _answer(ours, name) == _answer(native, name)


@given(st.lists(st.sampled_from(["acquire", "release", "_is_owned", "_release_save"])))
def test_an_rlock_answers_as_the_native_one(operations: list[str]) -> None:
    ours, native = locks.RLock(), _thread.RLock()
    for name in operations:
        assert _answer(ours, name) == _answer(native, name)


def _answer(lock: Any, name: str) -> object:
    try:
        found = lock.acquire(False) if name == "acquire" else getattr(lock, name)()
    except RuntimeError as error:
        return str(error)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("arguments", [(False, 1.0), (True, -2.0)])
def test_a_held_lock_refuses_the_timeouts_that_the_native_one_refuses(
    arguments: tuple[bool, float],
) -> None:
    lock = locks.Lock()
    lock.acquire()
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(*arguments)


def test_a_forked_child_has_no_hub_and_all_its_locks() -> None:
    printed = patched("""
        lock, shared = threading.Lock(), socket.socketpair()
        lock.acquire()
        waiting = [gevent.spawn(lock.acquire) for _ in range(2)]
        gevent.sleep(0.01)
        def fork():
            child = os.fork()
            if not child:
                lock.release()
                with lock: time.sleep(0.01)
                thread = threading.Thread(target=lambda: shared[0].sendall(b"child"))
                thread.start()
                thread.join()
                os._exit(7)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(fork(), shared[1].recv(5))
        codes = []
        thread = threading.Thread(target=lambda: codes.append(fork()))
        thread.start()
        thread.join()
        print(codes, shared[1].recv(5))
    """)
    assert printed == "7 b'child'\n[7] b'child'\n"


# What blocks lets other greenlets run


@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(0.2)",
        "select.select([a], [], [], 0.2)",
        "poll = select.poll(); poll.register(a); poll.modify(a, 1); poll.poll(200)",
        "epoll = select.epoll(); epoll.register(a, 1); epoll.poll(0.2)",
        "chosen = selectors.DefaultSelector(); chosen.register(a, 1); chosen.select(0.2)",
        "chosen = selectors.PollSelector(); chosen.register(a, 1); chosen.select(0.2)",
        "chosen = selectors.SelectSelector(); chosen.register(a, 1); chosen.select(0.2)",
        "subprocess.run(['sleep', '0.2'])",
        "subprocess.check_output(['sleep', '0.2'])",
        "subprocess.run(['sleep', '0.2'], capture_output=True, timeout=5)",
        "thread = threading.Thread(target=time.sleep, args=(0.2,)); thread.start(); thread.join()",
        "threading.Event().wait(0.2)",
        "queue.Queue().put(1); threading.Lock().acquire(); threading.Semaphore(0).acquire(timeout=0.2)",
        "import concurrent.futures as f; f.ThreadPoolExecutor().submit(time.sleep, 0.2).result()",
        "import asyncio; asyncio.run(asyncio.sleep(0.2))",
        "import asyncio; asyncio.new_event_loop().run_until_complete(asyncio.sleep(0.2))",
        "a.settimeout(0.2)\ntry: a.recv(1)\nexcept TimeoutError: pass",
    ],
)
def test_greenlets_run_while_one_waits_in(wait: str) -> None:
    printed = patched(
        "a, b = socket.socketpair()\nbegan = time.monotonic()\nwith Ticks() as ticks:\n"
        + textwrap.indent(wait, "    ")
        + "\nprint(ticks.count >= 3, time.monotonic() - began > 0.19)\nos._exit(sys.stdout.flush() or 0)"
    )
    assert printed == "True True\n"


def test_polling_on_the_hub_finds_what_becomes_ready() -> None:
    printed = patched("""
        a, b = socket.socketpair()
        def later():
            time.sleep(0.05)
            b.sendall(b"x")
        threading.Thread(target=later).start()
        print(select.select([a, a.fileno()], [], [], 5) == ([a, a.fileno()], [], []))
        poll = select.poll()
        poll.register(a, select.POLLIN)
        print(poll.poll(5000) == [(a.fileno(), select.POLLIN)])
        poll.unregister(a)
        print(poll.poll(0), select.select([], [b], [])[1] == [b])
        with open("/dev/null") as file, select.epoll() as epoll:
            epoll.register(a, select.EPOLLIN)
            print(len(epoll.poll(5)), len(select.select([file], [], [], 5)[0]))
        print(epoll.closed)
    """)
    assert printed == "True\nTrue\n[] True\n1 1\nTrue\n"


def test_polling_in_vain_does_not_spin() -> None:
    printed = patched("""
        a, b = socket.socketpair()
        b.close()
        began = time.process_time()
        print(select.select([], [], [a], 0.3), time.process_time() - began < 0.1)
    """)
    assert printed == "([], [], []) True\n"


def test_joining_a_thread_has_the_limits_that_python_ships() -> None:
    printed = patched("""
        ends = threading.Event()
        thread = threading.Thread(target=ends.wait)
        for refused in (thread, threading.current_thread()):
            try: refused.join()
            except RuntimeError as error: print(error)
        thread.start()
        thread.join(0.05)
        print(thread.is_alive())
        ends.set()
        thread.join()
        print(thread.is_alive())
    """)
    told = "cannot join thread before it is started\ncannot join current thread\n"
    assert printed == f"{told}True\nFalse\n"


def test_a_child_that_takes_too_long_is_ended_on_the_hub_too() -> None:
    printed = patched("""
        for options in ({}, {"capture_output": True}):
            try: subprocess.run(["sleep", "9"], timeout=0.1, **options)
            except subprocess.TimeoutExpired as error: print(error.timeout <= 0.1)
    """)
    assert printed == "True\nTrue\n"


def test_where_the_kernel_has_no_pidfd_children_are_waited_for_all_the_same() -> None:
    printed = patched("""
        def no_pidfd(*_): raise OSError(38, "Function not implemented")
        os.pidfd_open = no_pidfd
        with Ticks() as ticks:
            print(subprocess.check_output("sleep 0.2; echo done", shell=True))
        print(ticks.count >= 8)
    """)
    assert printed == "b'done\\n'\nTrue\n"


def test_children_of_threads_and_of_greenlets_are_all_waited_for_and_nobody_handles_sigchld() -> (
    None
):
    printed = patched("""
        codes = []
        def work():
            for number in range(5): codes.append(subprocess.run(["sh", "-c", f"exit {number}"]).returncode)
        print(both(work, 3, 3), sum(codes))
        caught = next(line for line in open("/proc/self/status") if line.startswith("SigCgt"))
        print(int(caught.split()[1], 16) >> (signal.SIGCHLD - 1) & 1)
    """)
    assert printed == "6 60\n0\n"


def test_a_socket_closed_in_a_thread_wakes_the_greenlet_that_reads_it() -> None:
    printed = patched("""
        for end in ("close", "shutdown"):
            a, b = socket.socketpair()
            def read():
                try: return a.recv(1)
                except OSError as error: return type(error).__name__
            reader = gevent.spawn(read)
            gevent.sleep(0.01)
            ending = a.close if end == "close" else lambda: a.shutdown(socket.SHUT_RDWR)
            thread = threading.Thread(target=ending)
            thread.start()
            print(reader.get(timeout=5) in ("cancel_wait_ex", b""))
            thread.join()
            for each in (a, b): each.close()
    """)
    assert printed == "True\nTrue\n"


def test_time_limits_and_refused_connections_are_told_the_same_way_in_a_thread() -> None:
    printed = patched("""
        listener = socket.create_server(("127.0.0.1", 0))
        def work():
            client = socket.create_connection(("localhost", listener.getsockname()[1]), timeout=0.05)
            try: client.recv(1)
            except TimeoutError as error: print(error)
            client.setblocking(False)
            try: client.recv(1)
            except BlockingIOError: print("would block")
            client.close()
            with socket.socket() as free: free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
            try: socket.create_connection(("127.0.0.1", port), timeout=1)
            except ConnectionRefusedError: print("refused")
            print(socket.socket().connect_ex(("127.0.0.1", port)))
        for run in (work, lambda: both(work, 1, 0)): run()
    """)
    first, second = printed.splitlines()[:4], printed.splitlines()[4:]
    assert first == second
    assert first[:3] == ["timed out", "would block", "refused"]


def test_patching_imports_nothing_that_only_some_predictors_need() -> None:
    command = (
        "import sys; from mlfunc_runtime import patching; patching.patch(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"ssl", "subprocess", "asyncio", "concurrent.futures", "multiprocessing"}
    assert len(loaded) < 180


def test_no_thread_but_the_hub_s_has_a_hub() -> None:
    printed = patched("""
        from gevent._hub_local import get_hub_if_exists
        a, b = socket.socketpair()
        def work():
            with threading.Lock(): time.sleep(0.01)
            socket.getaddrinfo("localhost", 80)
            socket.create_server(("127.0.0.1", 0)).close()
            b.sendall(b"x")
            a.recv(1)
            subprocess.run(["true"])
            threading.Event().wait(0.01)
            print(get_hub_if_exists())
        both(work, 1, 0)
    """)
    assert printed == "None\n"


# A real function


def test_processes_can_be_started_everywhere(start: Start) -> None:
    process = start("""
        import ctypes.util, multiprocessing, os, subprocess
        from concurrent.futures import ProcessPoolExecutor

        def start_some():
            return [
                subprocess.run(["true"]).returncode,
                subprocess.check_output("echo out; echo error >&2", shell=True, stderr=subprocess.DEVNULL).decode(),
                os.popen("echo popen").read(),
                ctypes.util.find_library("c") is not None,
            ]

        def square(n): return n * n

        AT_IMPORT = start_some()

        class P:
            def load(self, context): self.loaded = start_some()
            def before_predict(self, request): return [AT_IMPORT, self.loaded, start_some()]
            def predict(self, found: list) -> list:
                squares = []
                for method in ("fork", "spawn"):
                    with multiprocessing.get_context(method).Pool(2) as pool:
                        squares.append(pool.map(square, range(4)))
                with ProcessPoolExecutor(2) as executor:
                    squares.append(list(executor.map(square, range(4))))
                return [*found, start_some(), squares]
            def after_predict(self, result, request): return [*result, start_some()]
    """)
    expected = [0, "out\n", "popen\n", True]
    status, found = process.json(b'{"found": []}')
    assert status == 200
    squares = found.pop(4)
    assert found == [expected] * 5
    assert squares == [[0, 1, 4, 9]] * 3


def test_a_forked_child_ends_when_it_is_told_to(start: Start) -> None:
    process = start("""
        import multiprocessing, time

        class P:
            def predict(self, n: int) -> int:
                child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
                child.start()
                time.sleep(0.1)
                child.terminate()
                child.join(10)
                if child.exitcode is None: child.kill()
                return child.exitcode
    """)
    assert process.json(b'{"n": 1}') == (200, -15)


def test_a_lock_shared_by_hooks_and_predictions_does_not_deadlock(start: Start) -> None:
    process = start(
        """
        import threading, time
        class P:
            def load(self, context): self.lock, self.count = threading.Lock(), 0
            def before_predict(self, request):
                with self.lock: time.sleep(0.001)
            def predict(self, n: int) -> int:
                with self.lock:
                    self.count += 1
                    sum(range(20000))
                return n
            def after_predict(self, result, request):
                with self.lock: return self.count
        """,
        serve={"slots": 2},
    )
    for rounds in (1, 2, 3):
        answers = at_once(process, [b'{"n": 1}'] * 40)
        assert {status for status, _ in answers} == {200}
        assert max(count for _, count in answers) == 40 * rounds


def test_a_thread_that_load_starts_runs(start: Start) -> None:
    process = start("""
        import threading, time
        class P:
            def load(self, context):
                self.n = 0
                threading.Thread(target=self.count, daemon=True).start()
            def count(self):
                while True:
                    time.sleep(0.05)
                    self.n += 1
            def predict(self) -> int: return self.n
    """)
    eventually(lambda: process.json(b"{}")[1] >= 4)


def test_a_thread_pool_is_shared_by_load_hooks_and_predict(start: Start) -> None:
    process = start("""
        import threading, time
        from concurrent.futures import ThreadPoolExecutor, wait
        class P:
            def load(self, context):
                self.pool = ThreadPoolExecutor(2)
                self.main = self.pool.submit(threading.get_ident).result()
            def work(self, n):
                time.sleep(0.02)
                return n + 1
            def before_predict(self, request):
                futures = [self.pool.submit(self.work, n) for n in range(4)]
                done, left = wait(futures)
                return len(done) + self.pool.submit(self.work, 0).result()
            def predict(self, n: int) -> int:
                return sum(self.pool.map(self.work, range(3))) + n
            def after_predict(self, result, request):
                return [result, threading.get_ident() != self.main]
    """)
    assert at_once(process, [b'{"n": 0}'] * 8) == [(200, [11, True])] * 8


def test_a_worker_thread_batches_for_predictions_that_wait_for_events(start: Start) -> None:
    process = start(
        """
        import queue, threading
        class P:
            def load(self, context):
                self.work = queue.Queue()
                threading.Thread(target=self.serve, daemon=True).start()
            def serve(self):
                while True:
                    n, answer, done = self.work.get()
                    answer.append(n * 2)
                    done.set()
            def ask(self, n):
                answer, done = [], threading.Event()
                self.work.put((n, answer, done))
                assert done.wait(10)
                return answer[0]
            def predict(self, n: int) -> int: return self.ask(n)
            def after_predict(self, result, request): return self.ask(result)
        """,
        serve={"slots": 2},
    )
    answers = at_once(process, [f'{{"n": {n}}}'.encode() for n in range(20)])
    assert answers == [(200, n * 4) for n in range(20)]


def test_items_of_a_producer_thread_are_streamed_as_they_come(start: Start, tmp_path: Path) -> None:
    """The idiom of transformers' TextIteratorStreamer, with a producer that computes."""
    process = start("""
        import queue, threading
        from pathlib import Path
        class P:
            def predict(self, n: int):
                items = queue.Queue()
                def generate():
                    for number in range(n):
                        items.put(number)
                        while not Path(f"seen-{number}").exists(): sum(range(1000))
                    items.put(None)
                threading.Thread(target=generate).start()
                while (item := items.get()) is not None: yield item
    """)
    reply = process.call(b'{"n": 5}', content_type="application/json")
    came = []
    for line in reply:
        if line[:6] == b"data: " and line != b"data: {}\n":
            came.append(int(line[6:]))
            (tmp_path / f"seen-{came[-1]}").touch()  # the next is made when this one is here
    assert came == [*range(5)]


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps([self.path, self.client_address[1]]).encode()
        time.sleep(0.02)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """A server of the test's own; its port."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


class _ThreadingTCPServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers lines in capitals; its port."""
    with serving(_ThreadingTCPServer(("127.0.0.1", 0), _Echo)) as port:
        yield port


@pytest.fixture
def web() -> Iterator[int]:
    """An HTTP server that keeps connections; its port."""
    with serving(_HTTPServer(("127.0.0.1", 0), _Answer)) as port:
        yield port


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """An HTTPS server, and the certificate that it signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*command.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True
    )
    server = _HTTPServer(("127.0.0.1", 0), _Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as port:
        yield port, certificate


def test_a_socket_is_shared_by_load_hooks_and_predictions(start: Start, echo: int) -> None:
    process = start(
        """
        import os, socket, threading
        class P:
            def load(self, context):
                self.lock = threading.Lock()
                self.socket = socket.create_connection(("localhost", int(os.environ["ECHO"])), timeout=10)
                self.file = self.socket.makefile("rb")
                assert self.ask("load") == "LOAD"
            def ask(self, text):
                with self.lock:
                    self.socket.sendall(text.encode() + b"\\n")
                    return self.file.readline().decode().strip()
            def before_predict(self, request): return self.ask("before")
            def predict(self, text: str) -> str: return text + self.ask("predict")
            def after_predict(self, result, request): return result + self.ask("after")
            def unload(self):
                self.file.close()
                self.socket.close()
        """,
        {"ECHO": str(echo)},
        serve={"slots": 3},
    )
    assert at_once(process, [b"{}"] * 30) == [(200, "BEFOREPREDICTAFTER")] * 30
    assert process.stop() == 0


def test_a_kept_alive_connection_serves_load_hooks_and_predictions(start: Start, web: int) -> None:
    process = start(
        """
        import http.client, json, os, urllib.request
        from queue import LifoQueue
        class P:
            def load(self, context):
                self.pool = LifoQueue()
                self.pool.put(http.client.HTTPConnection("localhost", int(os.environ["WEB"]), timeout=10))
                self.first = self.get("/load")[1]
            def get(self, path):
                connection = self.pool.get()
                connection.request("GET", path)
                answer = json.loads(connection.getresponse().read())
                self.pool.put(connection)
                return answer
            def open(self, path):
                with urllib.request.urlopen(f"http://localhost:{os.environ['WEB']}{path}") as reply:
                    return json.load(reply)[0]
            def before_predict(self, request): return [*self.get("/before"), self.open("/a")]
            def predict(self, before: list) -> list: return [before, [*self.get("/predict"), self.open("/b")]]
            def after_predict(self, result, request):
                return [result, [*self.get("/after"), self.open("/c")], self.first]
        """,
        {"WEB": str(web)},
        serve={"slots": 2},
    )
    for status, [[before, predict], after, first] in at_once(process, [b"{}"] * 12):
        assert status == 200
        assert before == ["/before", first, "/a"]
        assert predict == ["/predict", first, "/b"]
        assert after == ["/after", first, "/c"]


def test_tls_works_in_load_hooks_and_predictions(start: Start, secure: tuple[int, Path]) -> None:
    port, certificate = secure
    process = start(
        """
        import http.client, json, os, ssl, urllib.request
        from queue import LifoQueue
        class P:
            def load(self, context):
                self.tls = ssl.create_default_context(cafile=os.environ["CERTIFICATE"])
                self.kept = LifoQueue()
                self.kept.put(http.client.HTTPSConnection("localhost", int(os.environ["SECURE"]), context=self.tls, timeout=10))
                self.loaded = self.get("/load")
            def get(self, path):
                connection = self.kept.get()
                connection.request("GET", path)
                answer = json.loads(connection.getresponse().read())[0]
                self.kept.put(connection)
                url = f"https://localhost:{os.environ['SECURE']}{path}"
                with urllib.request.urlopen(url, context=self.tls) as reply:
                    return [answer, json.load(reply)[0]]
            def before_predict(self, request): return [self.loaded, self.get("/before")]
            def predict(self, found: list) -> list: return [*found, self.get("/predict")]
            def after_predict(self, result, request):
                try: urllib.request.urlopen(f"https://localhost:{os.environ['SECURE']}/")
                except OSError as error: return [*result, "CERTIFICATE_VERIFY_FAILED" in str(error)]
        """,
        {"SECURE": str(port), "CERTIFICATE": str(certificate)},
        serve={"slots": 2},
    )
    expected = [["/load"] * 2, ["/before"] * 2, ["/predict"] * 2, True]
    assert at_once(process, [b"{}"] * 6) == [(200, expected)] * 6


def test_asyncio_runs_in_load_in_predict_and_in_hooks_at_once(start: Start) -> None:
    process = start(
        """
        import asyncio, contextvars
        name = contextvars.ContextVar("name")
        async def work(n):
            await asyncio.sleep(0.05)
            await asyncio.to_thread(sum, [1, 2])
            child = await asyncio.create_subprocess_exec("true")
            return n + await child.wait() + name.get(0)
        class P:
            def load(self, context): self.loaded = asyncio.run(work(1))
            def before_predict(self, request):
                name.set(10)
                return asyncio.run(work(1))
            def predict(self, n: int) -> int: return n + asyncio.run(work(1))
            def after_predict(self, result, request): return [self.loaded, result, asyncio.run(work(3))]
        """,
        serve={"slots": 2},
    )
    assert at_once(process, [b'{"n": 0}'] * 8) == [(200, [1, 12, 13])] * 8


def test_a_library_with_a_thread_behind_an_event_loop_works(start: Start) -> None:
    """As aiosqlite: a thread of its own does the work, and sets the futures of the loop."""
    process = start("""
        import asyncio, queue, sqlite3, threading
        class Database:
            def __init__(self):
                self.work = queue.SimpleQueue()
                threading.Thread(target=self.serve, daemon=True).start()
            def serve(self):
                connection = sqlite3.connect(":memory:")
                while True:
                    loop, future, statement = self.work.get()
                    rows = connection.execute(statement).fetchall()
                    loop.call_soon_threadsafe(future.set_result, rows)
            async def execute(self, statement):
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                self.work.put((loop, future, statement))
                return await asyncio.wait_for(future, 10)
        class P:
            async def load(self):
                self.database = Database()
                await self.database.execute("create table t (n)")
            async def before_predict(self, request):
                await self.database.execute("insert into t values (2)")
            def predict(self, n: int) -> int: return asyncio.run(self.database.execute("select count(*) from t"))[0][0]
            def after_predict(self, result, request):
                return [result > 0, asyncio.run(self.database.execute("select max(n) from t"))[0][0]]
    """)
    assert at_once(process, [b'{"n": 0}'] * 6) == [(200, [True, 2])] * 6


def test_what_is_local_to_a_thread_is_local_to_a_greenlet_too(start: Start) -> None:
    process = start("""
        import threading, time
        class P:
            def load(self, context): self.local = threading.local()
            def before_predict(self, request):
                before = getattr(self.local, "n", None)
                self.local.n = request.headers["x-n"]
                time.sleep(0.05)
                return [before, self.local.n]
            def predict(self, found: list) -> list: return [*found, getattr(self.local, "n", None)]
    """)
    with ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(lambda n: process.call(b"{}", x_n=n).read(), "01234"))
    assert [json.loads(reply) for reply in replies] == [[None, n, None] for n in "01234"]
