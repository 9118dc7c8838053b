"""The gunicorn worker: waitress does the I/O, threads only answer requests.

gunicorn starts, replaces and stops processes. Its own threaded worker occupies a thread for each
open connection, so eight idle browsers or slow phones block it. Here one loop holds all connections
and buffers their input; a thread gets a request when it is complete and returns its answer to the
loop.
"""

import logging
import os
import socket
import time
from typing import Any

from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer, UnixWSGIServer
from waitress.task import ThreadedTaskDispatcher

# bytes; the app already refuses 2 MiB, with a page that explains it
MAX_REQUEST_BYTES = 4 * 1024 * 1024
REQUEST_DEADLINE = 60.0  # seconds for a whole request to arrive
MAX_IDLE = 75.0  # seconds a connection may stay silent; proxies close theirs after 60
HEARTBEAT_INTERVAL = 1.0  # seconds between two checks of timeouts; also gunicorn's heartbeat
IDLE_SHUTDOWN_WAIT = 0.2  # seconds on shutdown for a request about to arrive on an open connection
HALF_REQUEST_SHUTDOWN_WAIT = 2.0  # seconds on shutdown for the rest of a request
MAX_CONNECTION_SHARE = 0.9  # share of all connections; above it, those idle longest are closed

logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # logs a line for each queued request


class Channel(HTTPChannel):
    """A connection that tracks since when we have been waiting for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.waits_since = time.monotonic()
        super().__init__(*args, **kwargs)

    def received(self, data: bytes) -> bool:
        is_beginning = self.request is None
        taken = super().received(data)
        if is_beginning:
            self.waits_since = time.monotonic()
        return bool(taken)

    def service(self) -> None:
        super().service()
        self.waits_since = time.monotonic()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being computed or sent."""
        return bool(self.requests or self.total_outbufs_len)

    def is_overdue(self, now: float, idle_for: float, request_deadline: float) -> bool:
        patience = idle_for if self.request is None else request_deadline
        return not self.is_busy and now - self.waits_since > patience


class BufferedWorker(Worker):  # type: ignore[misc]
    """Serves gunicorn's sockets until it is stopped, then finishes the requests in progress."""

    def init_process(self) -> None:
        self._dispatchers: dict[int, Any] = {}
        self._servers: list[TcpWSGIServer] = []
        super().init_process()

    def handle_exit(self, sig: int, frame: object) -> None:
        super().handle_exit(sig, frame)
        for server in self._servers:
            server.pull_trigger()

    def run(self) -> None:
        if self.cfg.is_ssl:
            raise RuntimeError("This worker speaks no TLS: put a proxy with it in front.")
        threads = ThreadedTaskDispatcher()
        threads.set_thread_count(self.cfg.threads)
        self._servers = [self._server(each.sock, threads) for each in self.sockets]
        while self.alive and self.ppid == os.getppid():
            self._turn(HEARTBEAT_INTERVAL)
            self._close_overdue(MAX_IDLE, REQUEST_DEADLINE)
            self._make_room()
        self._finish()
        threads.shutdown(timeout=1)

    def _server(self, listening: socket.socket, threads: ThreadedTaskDispatcher) -> TcpWSGIServer:
        family = listening.family
        kind = UnixWSGIServer if family == socket.AF_UNIX else TcpWSGIServer
        server = kind(
            self.wsgi,
            map=self._dispatchers,
            _sock=listening,
            dispatcher=threads,
            adj=Adjustments(
                sockets=[listening],
                connection_limit=self.cfg.worker_connections,
                max_request_body_size=MAX_REQUEST_BYTES,
                channel_timeout=2 * int(MAX_IDLE + REQUEST_DEADLINE),  # our own limits are shorter
                clear_untrusted_proxy_headers=False,  # PROXIES decides which headers the app trusts
                ident=None,
            ),
            sockinfo=(family, listening.type, listening.proto, listening.getsockname()),
            bind_socket=False,
        )
        server.channel_class = Channel
        return server

    def _turn(self, patience: float) -> None:
        """Reads, writes and accepts what is ready, waiting up to `patience` seconds."""
        self.notify()
        wasyncore.loop(timeout=patience, use_poll=True, map=self._dispatchers, count=1)

    def _channels(self) -> list[Channel]:
        return [each for server in self._servers for each in server.active_channels.values()]

    def _close_overdue(self, idle_for: float, request_deadline: float) -> None:
        now = time.monotonic()
        for channel in self._channels():
            if channel.is_overdue(now, idle_for, request_deadline):
                channel.will_close = True

    def _make_room(self) -> None:
        """Closes the longest-idle connections, so that idle ones never keep new ones out."""
        channels = self._channels()
        surplus = len(channels) - int(MAX_CONNECTION_SHARE * self.cfg.worker_connections)
        if surplus > 0:
            silent = (each for each in channels if not each.is_busy)
            for channel in sorted(silent, key=lambda each: each.waits_since)[:surplus]:
                channel.will_close = True

    def _finish(self) -> None:
        """Accepts no new connection; requests in progress have gunicorn's graceful_timeout."""
        for server in self._servers:
            wasyncore.dispatcher.close(server)  # its trigger stays open: threads wake us through it
        began = time.monotonic()
        while self._channels() and time.monotonic() - began < self.cfg.graceful_timeout:
            self._turn(IDLE_SHUTDOWN_WAIT)
            waited = time.monotonic() - began
            if waited > IDLE_SHUTDOWN_WAIT:
                self._close_overdue(0, max(0.0, HALF_REQUEST_SHUTDOWN_WAIT - waited))
