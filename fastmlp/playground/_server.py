"""The playground's server: the page, its files, a socket, and downloads.

It listens on this machine only. A page elsewhere that a browser has open can send it
requests too: these fail by `Host`, `Origin`, and the token, which stands in the address
that is printed and nowhere else.

Addresses: ``/?token=T`` the page; ``/page/FILE`` its files, which need no token;
``/socket?token=T``; ``/model.onnx?token=T`` and ``/model.pickle?token=T``, the network
of the socket that was used last.

Text messages are JSON in both directions, see `Socket`; frames are binary.
"""

import asyncio
import hmac
import json
import secrets
import socket
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketHandler

from fastmlp.playground.session import Session
from fastmlp.playground.state import State, options

PAGE = Path(__file__).parent / "page"
ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")

# A table of 1 MB, whose characters JSON may write as two, and the rest of the message.
MOST_MESSAGE_BYTES = 2_500_000

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guarded(RequestHandler):
    """A handler for requests to this machine's own name, with the token."""

    needs_token = True

    def set_default_headers(self) -> None:
        """Set the headers that keep other pages out."""
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse requests to another host, as by a name that now points here."""
        if self.request.host not in self.settings["hosts"]:
            raise HTTPError(403, "unknown host")
        token = self.get_query_argument("token", "")
        expected = self.settings["token"]
        if self.needs_token and not hmac.compare_digest(
            token.encode(), expected.encode()
        ):
            raise HTTPError(403, "wrong token")

    def write_error(self, status_code: int, **details: Any) -> None:
        """Answer with a sentence."""
        message = f"{status_code}: {self._reason}."
        if status_code == 403:
            message += " Open the address that `python -m fastmlp playground` printed."
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(message)


class Page(Guarded):
    """The page."""

    def get(self) -> None:
        """Send it."""
        self.write((PAGE / "index.html").read_bytes())


class PageFile(Guarded, StaticFileHandler):
    """A file of the page."""

    needs_token = False

    def set_extra_headers(self, path: str) -> None:
        """Let no browser keep it: another version may follow."""
        self.set_header("Cache-Control", HEADERS["Cache-Control"])


class Download(Guarded):
    """The network of the socket that was used last, as a file."""

    def initialize(self, form: str) -> None:
        """Take the form, 'onnx' or 'pickle'."""
        self._form = form

    async def get(self) -> None:
        """Send it."""
        used = self.settings["used"]
        if not used:
            raise HTTPError(404, reason="No page is open")
        make = used[-1].onnx if self._form == "onnx" else used[-1].pickled
        try:
            content = await run(self, make)
        except (ImportError, ValueError) as error:
            self.set_status(501)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(str(error))
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header(
            "Content-Disposition", f'attachment; filename="model.{self._form}"'
        )
        self.finish(content)


def run(handler: RequestHandler, function: Any, *arguments: Any) -> Any:
    """Return an awaitable of a call on the one thread that computes."""
    executor = handler.settings["executor"]
    return asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


class Socket(Guarded, WebSocketHandler):
    """A page's messages, answered one after the other.

    Each has a `type`: 'set', 'reset', 'new_data', 'points', 'csv', 'edit', answered by
    a message 'state'; 'frame', answered by a binary frame; 'code'. Errors are answered
    by a message 'error', and nothing has changed then.
    """

    session: Any = None  # a Session, once there was a message

    def open(self, *args: str, **kwargs: str) -> None:
        """Send the table of the settings."""
        self._send_json("options", options=options(), state=State().as_json())

    def check_origin(self, origin: str) -> bool:
        """Return whether a page of this server opens the socket."""
        return urlsplit(origin).netloc in self.settings["hosts"]

    async def on_message(self, message: str | bytes) -> None:
        """Answer a message."""
        try:
            content = json.loads(message)
            if not isinstance(content, dict):
                raise ValueError("A message must be an object.")
            if self.session is None:
                self.session = await run(self, Session)
            self._use()
            answer = await run(self, self._answer, content)
        except ValueError as error:
            field = getattr(error, "field", None)
            self._send_json("error", message=str(error), field=field)
            return
        if isinstance(answer, bytes):
            self._send(answer)
        else:
            self._send_json(**answer)

    def _answer(self, message):
        """Return the answer to a message; runs on the thread that computes."""
        session, get = self.session, message.get
        restarted = True
        match get("type"):
            case "frame":
                return session.frame(
                    get("epochs", 0), get("budget"), get("unit"), get("view")
                )
            case "code":
                return {"type": "code", "text": session.code()}
            case "set":
                restarted = session.set(get("state"))
            case "reset":
                session.reset()
            case "new_data":
                session.new_data()
            case "points":
                restarted = session.edit_points(get("add"), get("move"), get("remove"))
            case "csv":
                session.load_csv(str(get("text")))
            case "edit":
                place = get("layer"), get("row"), get("column")
                restarted = session.edit_weight(*place, get("value"))
            case kind:
                raise ValueError(f"There is no message of type {kind!r}.")
        return {
            "type": "state",
            "state": session.state.as_json(),
            "restarted": restarted,
            "points": len(session.data.points),
        }

    def _use(self):
        """Make the network the one that was used last."""
        used = self.settings["used"]
        self.on_close()
        if self.ws_connection is not None:
            used.append(self.session)

    def on_close(self) -> None:
        """Forget the network."""
        used = self.settings["used"]
        if self.session in used:
            used.remove(self.session)

    def _send_json(self, type, **content):
        self._send(json.dumps({"type": type, **content}))

    def _send(self, content):
        # The page may have been closed meanwhile.
        if self.ws_connection is not None:
            self.write_message(content, binary=isinstance(content, bytes))


def make_application(token: str, port: int) -> Application:
    """Return the application for a port of this machine.

    It computes on one thread, so that the addresses answer meanwhile.
    """
    downloads = [
        (rf"/model\.{form}", Download, {"form": form}) for form in ("onnx", "pickle")
    ]
    return Application(
        [
            (r"/", Page),
            (r"/page/(.*)", PageFile, {"path": PAGE}),
            (r"/socket", Socket),
            *downloads,
        ],
        token=token,
        hosts=[f"{host}:{port}" for host in HOSTS],
        executor=ThreadPoolExecutor(1, "playground"),
        used=[],
        websocket_max_message_size=MOST_MESSAGE_BYTES,
    )


def serve(port: int, browser: bool) -> None:
    """Serve until the process is interrupted, see `fastmlp.playground.run`."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(port, browser))


async def _serve(port, browser):
    listener = socket.create_server((ADDRESS, port))
    listener.setblocking(False)
    port, token = listener.getsockname()[1], secrets.token_urlsafe()
    server = HTTPServer(make_application(token, port), max_body_size=0)
    server.add_socket(listener)
    url = f"http://{ADDRESS}:{port}/?token={token}"
    print("The playground is at this address, until Ctrl-C ends it:", flush=True)
    print(url, flush=True)
    if browser:
        # A browser in the terminal returns when it is left.
        await asyncio.to_thread(webbrowser.open, url)
    await asyncio.Event().wait()
