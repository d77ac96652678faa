"""Listening TCP ports and their connections for a single-threaded loop: non-blocking, bounded both ways."""

import contextlib
import select
import socket
from collections.abc import Callable

OUTPUT_LIMIT = 4 << 20
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


class Connection:
    """One accepted socket: unsent output is kept and bounded; ``handle`` is called when input is ready."""

    def __init__(self, poller: select.epoll, sock: socket.socket):
        self.sock = sock
        self._poller, self._unsent = poller, bytearray()
        self.closed = False

    def send(self, data: bytes) -> None:
        """Send now what the socket takes and the rest later; a client that never reads is cut off."""
        if self.closed:
            return
        if not self._unsent:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._poller.modify(self.sock, _READABLE | select.EPOLLOUT)
        self._unsent += data
        if len(self._unsent) > OUTPUT_LIMIT:
            self.close()

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken yet."""
        return len(self._unsent)

    def flush(self) -> None:
        try:
            sent = self.sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._poller.modify(self.sock, _READABLE)

    def receive(self, size: int = 65536) -> bytes:
        """What has arrived; closes the connection and returns nothing when the peer is gone."""
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.close()
        return data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with contextlib.suppress(OSError, ValueError):
                self._poller.unregister(self.sock)
            self.sock.close()


class Service:
    """A listening TCP port and its connections."""

    MAX_CLIENTS = 32

    def __init__(self, poller: select.epoll, host: str, port: int):
        self._poller, self.host, self.port = poller, host, port
        self.connections: dict[int, Connection] = {}
        self._listener: socket.socket | None = None
        self.handlers: dict[int, Callable[[int], None]] = {}

    def open(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        listener.listen(16)
        listener.setblocking(False)
        self._listener = listener
        self._poller.register(listener, select.EPOLLIN)
        self.handlers[listener.fileno()] = self._accept

    def close(self, abruptly: bool = False) -> None:
        """Stop listening and drop every client; ``abruptly`` sends resets, as a dying machine would."""
        if self._listener is not None:
            self.handlers.pop(self._listener.fileno(), None)
            self._poller.unregister(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self.connections.values()):
            if abruptly:
                linger = bytes((1, 0, 0, 0)) + bytes(4)
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._drop(connection)

    def connected(self, connection: Connection) -> None:
        """A client came."""

    def received(self, connection: Connection) -> None:
        """Input is ready on ``connection``."""
        raise NotImplementedError

    def disconnected(self, connection: Connection) -> None:
        """A client went."""

    def _accept(self, events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self.connections) >= self.MAX_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self._poller, sock)
        fd = sock.fileno()
        self.connections[fd] = connection
        self.handlers[fd] = lambda events: self._ready(fd, connection, events)
        self._poller.register(sock, _READABLE)
        self.connected(connection)
        self.sweep()

    def _ready(self, fd: int, connection: Connection, events: int) -> None:
        if events & select.EPOLLOUT:
            connection.flush()
        if events & _READABLE and not connection.closed:
            self.received(connection)
        if connection.closed:
            self._forget(fd, connection)

    def _drop(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        connection.close()
        self._forget(fd, connection)

    def _forget(self, fd: int, connection: Connection) -> None:
        if self.connections.get(fd) is connection:
            del self.connections[fd]
            self.handlers.pop(fd, None)
            self.disconnected(connection)

    def sweep(self) -> None:
        """Forget connections that were closed while sending."""
        for fd, connection in list(self.connections.items()):
            if connection.closed:
                self._forget(fd, connection)


class LineService(Service):
    """A text protocol: one reply line per request line, lines of at most ``LINE_LIMIT`` bytes."""

    LINE_LIMIT = 4096

    def connected(self, connection: Connection) -> None:
        connection.lines = bytearray()

    def received(self, connection: Connection) -> None:
        connection.lines += connection.receive()
        while not connection.closed and b"\n" in connection.lines:
            line, _, rest = connection.lines.partition(b"\n")
            connection.lines = bytearray(rest)
            self.line(connection, line.decode("utf-8", "replace").strip())
        if len(connection.lines) > self.LINE_LIMIT:
            connection.close()

    def line(self, connection: Connection, line: str) -> None:
        """Handle one request line."""
        raise NotImplementedError
