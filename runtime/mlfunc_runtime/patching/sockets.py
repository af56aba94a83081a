"""gevent's sockets, usable from every thread.

They keep their descriptors non-blocking and wait in one method. Every one belongs to the hub,
whatever thread makes it; the hub waits with its watchers, any other thread with poll().
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.patching import hub
from mlfunc_runtime.patching.polling import native_poll
from mlfunc_runtime.patching.replacing import replace, when_imported

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_NAMES = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")
_PENDING = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK)


def patch() -> None:
    """`socket` makes all its sockets with these names."""
    _socket3: Any = import_module("gevent._socket3")
    _socketcommon: Any = import_module("gevent._socketcommon")
    _socket3.get_hub = hub.main
    _patch_methods(_socket3.socket, _socketcommon.cancel_wait_ex)
    replace(socket, socket=_socket3.socket, SocketType=_socket3.socket)
    for name in _NAMES:
        resolve = _resolver(getattr(_socketcommon, name), getattr(socket, name))
        setattr(_socketcommon, name, resolve)
        replace(socket, **{name: resolve})
    when_imported("ssl", _patch_ssl)


def _patch_ssl(ssl: ModuleType) -> None:
    """A TLS socket of gevent's is a socket of gevent's."""
    import gevent.ssl

    replace(ssl, SSLContext=gevent.ssl.SSLContext, SSLSocket=gevent.ssl.SSLSocket)


def _resolver(cooperative: Callable[..., Any], native: Callable[..., Any]) -> Callable[..., Any]:
    def resolve(*arguments: Any, **options: Any) -> Any:
        chosen = cooperative if hub.on_hub() else native
        return chosen(*arguments, **options)

    resolve.__name__ = native.__name__
    resolve.__doc__ = native.__doc__
    return resolve


def _patch_methods(cls: Any, closed: type[OSError]) -> None:
    """In place: TLS sockets inherit them, and gevent's own modules have taken the class."""
    on_hub_wait, on_hub_connect = cls._wait, cls._internal_connect
    on_hub_drop, on_hub_shutdown = cls._drop_events_and_close, cls.shutdown

    def _wait(self: Any, watcher: Any, timeout_exc: BaseException | None = None) -> None:
        wait = on_hub_wait if hub.on_hub() else _poll
        wait(self, watcher, timeout_exc)

    def _internal_connect(self: Any, address: Any) -> Any:
        connect = on_hub_connect if hub.on_hub() else _connect
        return connect(self, address)

    def _drop_events_and_close(self: Any, closefd: bool = True) -> None:
        drop = on_hub_drop if hub.on_hub_thread() else _drop
        drop(self, closefd, closed)

    def shutdown(self: Any, how: int) -> None:
        if hub.on_hub_thread():
            on_hub_shutdown(self, how)
        else:
            _shutdown(self, how, closed)

    cls._wait, cls._internal_connect = _wait, _internal_connect
    cls._drop_events_and_close, cls.shutdown = _drop_events_and_close, shutdown


def _poll(sock: Any, watcher: Any, timeout_exc: BaseException | None) -> None:
    if watcher is None:
        raise OSError(errno.EBADF, "the socket was closed in another thread")
    events = select.POLLIN if watcher is sock._read_event else select.POLLOUT
    poll = native_poll()
    poll.register(sock.fileno(), events)
    timeout = sock.gettimeout()
    if not poll.poll(None if timeout is None else math.ceil(timeout * 1000)):
        raise timeout_exc or TimeoutError("timed out")


def _connect(sock: Any, address: Any) -> Any:
    """gevent's own bounds the time with a timer, which would start a second hub."""
    if sock.gettimeout() == 0:
        return sock._sock.connect(address)
    code = sock._sock.connect_ex(address)
    if code in _PENDING:
        sock._wait(sock._write_event)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code and code != errno.EISCONN:
        raise OSError(code, os.strerror(code))
    return None


def _drop(sock: Any, closefd: bool, closed: type[OSError]) -> None:
    """Close, and have greenlets that wait for it told so: by the hub, whose watchers they are."""
    watchers = sock._read_event, sock._write_event
    inner = sock._sock
    sock._read_event = sock._write_event = None
    if hub.exists() and any(map(_waited_for, watchers)):
        then = sock._drop_ref_on_close if closefd else id
        hub.call_soon(hub.main().cancel_waits_close_and_then, watchers, closed, then, inner)
        return
    for watcher in watchers:
        if watcher is not None and not _waited_for(watcher):
            watcher.close()
    if closefd:
        inner.close()


def _shutdown(sock: Any, how: int, closed: type[OSError]) -> None:
    ended = {
        socket.SHUT_RD: (sock._read_event,),
        socket.SHUT_WR: (sock._write_event,),
    }.get(how, (sock._read_event, sock._write_event))
    for watcher in ended:
        if hub.exists() and _waited_for(watcher):
            hub.call_soon(hub.main().cancel_wait, watcher, closed)
    sock._sock.shutdown(how)


def _waited_for(watcher: Any) -> bool:
    return watcher is not None and watcher.callback is not None
