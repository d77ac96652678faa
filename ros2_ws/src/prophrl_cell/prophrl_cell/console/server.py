"""Serves the console: page, camera pictures, jog socket, episodes; behind the gate, on a port it must get."""

import asyncio
import json
import signal
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from nicegui import ui
from prophrl_core.errors import UserError

from prophrl_cell.console.access import Gate, is_loopback, new_token
from prophrl_cell.console.camera_feed import CameraFeed
from prophrl_cell.console.cell_link import CellLink
from prophrl_cell.console.episode_shelf import EpisodeShelf
from prophrl_cell.console.jog import Heartbeat, Jog
from prophrl_cell.console.page import ConsolePage

STATIC = Path(__file__).parent / "static"
JOG_MESSAGE_LIMIT = 2048  # bytes
TELL_PERIOD_S = 0.25
SHUTDOWN_GRACE_S = 1
HELD_FOR = {"Cache-Control": "private, max-age=3600"}


class _PatientServer(uvicorn.Server):
    """A Ctrl-C comes twice, from the terminal and from ros2 launch; the second must not cut the shutdown short."""

    def handle_exit(self, sig: int, frame) -> None:
        if not (self.should_exit and sig == signal.SIGINT):
            super().handle_exit(sig, frame)


class ConsoleServer:
    """Binds at once (UserError when the port is taken); ``run`` serves until ``stop`` or a signal."""

    def __init__(self, link: CellLink, jog: Jog, shelf: EpisodeShelf, page: ConsolePage, cameras: list[str],
                 host: str, port: int):  # fmt: skip
        self._link, self._jog, self._shelf = link, jog, shelf
        self._feeds = {name: CameraFeed(lambda name=name: link.take_picture(name)) for name in cameras}
        self._socket = _bind(host, port)
        self.port = self._socket.getsockname()[1]
        self.token = None if is_loopback(host) else new_token()
        app = FastAPI(openapi_url=None)
        self._add_routes(app)
        ui.run_with(app, root=page.build, title="prophrl console", dark=True, tailwind=False, reconnect_timeout=5.0,
                    binding_refresh_interval=None, show_welcome_message=False)  # fmt: skip
        config = uvicorn.Config(
            Gate(app, self.token, self.port), log_level="warning", ws="wsproto", access_log=False, lifespan="on",
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        )
        self._server = _PatientServer(config)

    def address(self, host: str) -> str:
        """What to open in a browser; with the token where one is needed."""
        name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        return f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def run(self) -> None:
        """Serve in this thread."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End ``run`` from another thread."""
        self._server.should_exit = True

    def _add_routes(self, app: FastAPI) -> None:
        app.mount("/static", StaticFiles(directory=STATIC))
        app.websocket("/jog")(self._serve_jog)
        app.get("/camera/{name}.jpg")(self._camera)
        app.get("/episodes/{episode_id}/thumbnail.jpg")(self._thumbnail)
        app.get("/episodes/{episode_id}/{camera}.mp4")(self._video)

    def _camera(self, name: str) -> Response:
        if name not in self._feeds:
            raise HTTPException(404, "no such camera")
        picture = self._feeds[name].picture()
        if picture is None:
            return Response(status_code=204)
        jpeg, age_s = picture
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store", "X-Age": f"{age_s:.2f}"})

    def _thumbnail(self, episode_id: str) -> FileResponse:
        return FileResponse(_made(self._shelf.thumbnail, episode_id), headers=HELD_FOR)

    def _video(self, episode_id: str, camera: str) -> FileResponse:
        return FileResponse(_made(self._shelf.video, episode_id, camera), media_type="video/mp4", headers=HELD_FOR)

    async def _serve_jog(self, websocket: WebSocket) -> None:
        """One page's jog. What it sends: heartbeats and ``{"name"}``; what it gets: who has the jog."""
        await websocket.accept()
        page = uuid.uuid4().hex
        self._jog.connect(page)
        teller = asyncio.create_task(self._tell_holder(websocket, page))
        try:
            while True:
                text = await websocket.receive_text()
                if len(text) > JOG_MESSAGE_LIMIT:
                    raise ValueError("expected a short message")
                message = json.loads(text)
                if isinstance(message, dict) and isinstance(message.get("name"), str):
                    self._jog.name(page, message["name"])
                    continue
                self._jog.heartbeat(page, Heartbeat.parse(message), time.monotonic(), self._gripper_open())
                if message.get("echo") is True:
                    await self._tell(websocket, page)
        except (WebSocketDisconnect, ValueError):
            pass
        finally:
            self._jog.disconnect(page)
            teller.cancel()
        if websocket.client_state.name == "CONNECTED":
            await websocket.close(1003)

    async def _tell_holder(self, websocket: WebSocket, page: str) -> None:
        while True:
            await self._tell(websocket, page)
            await asyncio.sleep(TELL_PERIOD_S)

    async def _tell(self, websocket: WebSocket, page: str) -> None:
        holder, name = self._jog.holder(time.monotonic())
        teleop = self._link.state.teleop
        obeyed = teleop is not None and teleop.in_control and teleop.device == "console"
        answer = {"you": holder == page, "holder": name if holder and holder != page else "", "obeyed": obeyed}
        await websocket.send_text(json.dumps(answer))

    def _gripper_open(self) -> bool:
        gripper = self._link.state.gripper
        return gripper is None or gripper.commanded > 0.5


def _made(make: Callable[..., Path], *arguments: str) -> Path:
    try:
        return make(*arguments)
    except UserError as error:
        raise HTTPException(404, str(error)) from None


def _bind(host: str, port: int) -> socket.socket:
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(info[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(info[4])
        listener.listen()  # who connects before the server runs waits
    except OSError as error:
        raise UserError(
            f"console: expected {host}:{port} free to listen on, got: {error.strerror}; stop the other program or "
            "give another port"
        ) from None
    return listener
