"""The server's addresses and messages, and its refusals."""

import asyncio
import json
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.testing import AsyncHTTPTestCase, gen_test
from tornado.websocket import websocket_connect

from fastmlp import __main__ as main_module
from fastmlp.playground import _server
from fastmlp.playground._server import HOSTS, MOST_MESSAGE_BYTES, make_application
from tests.fresh import run_python
from tests.playground.reading import read

TOKEN = "the-token"

# The first frame may have to compile kernels.
patient = gen_test(timeout=300)


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Stand in for the page's files."""
    (tmp_path / "index.html").write_text("<title>page</title>")
    (tmp_path / "page.js").write_text("export default {}")
    monkeypatch.setattr(_server, "PAGE", tmp_path)


class Case(AsyncHTTPTestCase):
    """A server for each test."""

    def get_app(self):
        return make_application(TOKEN, self.get_http_port())

    def setUp(self):
        self.pages = []
        super().setUp()

    def tearDown(self):
        for page in self.pages:
            page.close()
        self._app.settings["executor"].shutdown()
        super().tearDown()

    def get(self, path, **headers):
        """Return the response to a request."""
        return self.fetch(path, headers=headers)

    async def connect(self, token=TOKEN, **headers):
        url = f"ws://127.0.0.1:{self.get_http_port()}/socket?token={token}"
        request = HTTPRequest(url, headers=headers)
        self.pages.append(await websocket_connect(request))
        return self.pages[-1]

    async def open_page(self):
        """Return a connection whose first message, the options, was read."""
        page = await self.connect()
        await answer(page)
        return page


async def ask(page, **message):
    """Send a message; return the answer, a frame as header and arrays."""
    await page.write_message(json.dumps(message))
    return await answer(page)


async def answer(page):
    content = await page.read_message()
    return read(content) if isinstance(content, bytes) else json.loads(content)


class TestAddresses(Case):
    def test_page(self):
        response = self.get(f"/?token={TOKEN}")
        assert response.code == 200
        assert response.body == b"<title>page</title>"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"

    def test_files_need_no_token(self):
        response = self.get("/page/page.js")
        assert response.code == 200
        assert "javascript" in response.headers["Content-Type"]
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]

    def test_files_elsewhere(self):
        for path in ("/page/../__init__.py", "/page/%2e%2e/__init__.py", "/page/x.js"):
            assert self.get(path).code in (403, 404)

    def test_token_is_needed(self):
        for path in ("/", "/model.onnx", "/model.pickle", "/socket"):
            for token in ("", "?token=", "?token=other", f"?token={TOKEN}x"):
                response = self.get(path + token)
                assert response.code == 403, path
                assert b"page</title>" not in response.body
                assert TOKEN.encode() not in response.body

    def test_hosts_by_other_names_are_refused(self):
        port = self.get_http_port()
        for path in ("/", "/page/page.js", "/model.pickle", "/socket"):
            for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
                assert self.get(f"{path}?token={TOKEN}", Host=host).code in (400, 403)
        for host in HOSTS:
            assert self.get(f"/?token={TOKEN}", Host=f"{host}:{port}").code == 200

    def test_only_reading_is_allowed(self):
        response = self.fetch(f"/?token={TOKEN}", method="POST", body="x")
        assert response.code in (400, 405)

    def test_downloads_before_there_is_a_network(self):
        response = self.get(f"/model.pickle?token={TOKEN}")
        assert response.code == 404
        assert b"No page is open" in response.body


class TestStrangers(Case):
    """What other pages in the same browser send."""

    @patient
    async def test_other_origins(self):
        port = self.get_http_port()
        for origin in (
            "http://evil.example",
            f"http://evil.example:{port}",
            f"http://127.0.0.1:{port + 1}",
            f"http://127.0.0.1:{port}.evil.example",
            "null",
        ):
            with pytest.raises(HTTPClientError, match="403"):
                await self.connect(Origin=origin)

    @patient
    async def test_own_origin(self):
        for host in HOSTS:
            page = await self.connect(Origin=f"http://{host}:{self.get_http_port()}")
            assert (await answer(page))["type"] == "options"

    @patient
    async def test_wrong_token(self):
        with pytest.raises(HTTPClientError, match="403"):
            await self.connect(token="other")


class TestMessages(Case):
    @patient
    async def test_options_come_first_and_nothing_unasked(self):
        page = await self.connect()
        first = await answer(page)
        assert first["type"] == "options"
        assert first["state"].keys() == first["options"].keys()
        await ask(page, type="frame", epochs=1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(answer(page), 0.2)

    @patient
    async def test_frames_train(self):
        page = await self.open_page()
        start, arrays = await ask(page, type="frame")
        assert start["epoch"] == 0
        assert arrays["points"].shape == (500, 4)
        header, arrays = await ask(page, type="frame", epochs=12, unit=3)
        assert header["epoch"] == 12
        assert header["train_loss"] < start["train_loss"]
        header, _ = await ask(page, type="frame", epochs=1000, budget=5)
        assert 12 < header["epoch"] < 1012

    @patient
    async def test_every_message(self):
        page = await self.open_page()
        found = await ask(page, type="set", state={"noise": 0.3, "n_points": 50})
        assert found["type"] == "state"
        assert found["restarted"]
        assert found["points"] == 50
        assert found["state"]["noise"] == 0.3
        await ask(page, type="frame", epochs=2)
        found = await ask(page, type="set", state={"alpha": 0.1})
        assert not found["restarted"]
        found = await ask(
            page, type="points", add=[[1, 1, 0], [2, 2, 1]], move=[[0, 1, 1]],
            remove=[3],
        )  # fmt: skip
        assert found["points"] == 51
        assert found["state"]["data"] == "own"
        assert not found["restarted"]
        found = await ask(page, type="edit", layer=0, row=0, column=0, value=1.5)
        assert not found["restarted"]
        found = await ask(page, type="code")
        assert found["type"] == "code"
        assert "network.coefs_[0][0, 0] = 1.5" in found["text"]
        assert (await ask(page, type="reset"))["restarted"]
        found = await ask(page, type="new_data")
        assert found["state"]["data_seed"] == 1
        found = await ask(page, type="csv", text="1,2,a\n3,4,b\n")
        assert found["points"] == 2
        header, _ = await ask(page, type="frame", epochs=1)
        assert header["classes"] == ["a", "b"]

    @patient
    async def test_errors_keep_the_state(self):
        page = await self.open_page()
        await ask(page, type="frame", epochs=3)
        for message, field in (
            ({"type": "set", "state": {"noise": 9}}, "noise"),
            ({"type": "set"}, "state"),
            ({"type": "frame", "unit": 77}, "unit"),
            ({"type": "points", "add": [[1, 2]]}, None),
            ({"type": "points", "remove": "x"}, None),
            ({"type": "edit", "layer": 9}, "edit"),
            ({"type": "csv"}, None),
            ({"type": "csv", "text": "1," * 600_000}, None),
            ({"type": "steal"}, None),
            ({}, None),
        ):
            found = await ask(page, **message)
            assert found["type"] == "error"
            assert found["message"]
            assert found["field"] == field
        for text in ("", "[]", "{", "\x00", '{"type": "set", "state": {"noise": NaN}}'):
            await page.write_message(text)
            assert (await answer(page))["type"] == "error"
        await page.write_message(b"\xff\x00", binary=True)
        assert (await answer(page))["type"] == "error"
        header, _ = await ask(page, type="frame")
        assert header["epoch"] == 3

    @patient
    async def test_messages_that_are_too_long_end_the_connection(self):
        page = await self.open_page()
        await page.write_message(" " * (MOST_MESSAGE_BYTES + 1))
        assert await page.read_message() is None
        assert page.close_code == 1009

    @patient
    async def test_a_largest_table_fits_into_a_message(self):
        page = await self.open_page()
        text = '"' * 500_000 + "\n" * 500_000
        found = await ask(page, type="csv", text=text)
        assert found["message"].startswith("The table is not CSV: field larger")

    @patient
    async def test_each_page_has_a_network(self):
        one, two = await self.open_page(), await self.open_page()
        await ask(one, type="frame", epochs=3)
        header, _ = await ask(two, type="frame", epochs=1)
        assert header["epoch"] == 1
        header, _ = await ask(one, type="frame")
        assert header["epoch"] == 3

    @patient
    async def test_downloads_are_of_the_page_used_last(self):
        one, two = await self.open_page(), await self.open_page()
        for page, seed in ((one, 1), (two, 2), (one, 1)):
            await ask(page, type="set", state={"random_state": seed})
            network = pickle.loads((await self.download("pickle")).body)
            assert network.predict([[0.0, 0.0]]).shape == (1,)
        used = self._app.settings["used"]
        assert [each.state.random_state for each in used] == [2, 1]
        one.close()
        while len(used) == 2:
            await asyncio.sleep(0.01)
        assert used[0].state.random_state == 2
        assert (
            "model.onnx" in (await self.download("onnx")).headers["Content-Disposition"]
        )

    async def download(self, form):
        url = self.get_url(f"/model.{form}?token={TOKEN}")
        return await self.http_client.fetch(url, request_timeout=300)

    @patient
    async def test_no_onnx(self):
        page = await self.open_page()
        await ask(page, type="reset")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "skl2onnx", None)
            with pytest.raises(HTTPClientError) as raised:
                await self.download("onnx")
        assert raised.value.code == 501
        assert b"skl2onnx" in raised.value.response.body

    @patient
    async def test_addresses_answer_while_a_network_trains(self):
        page = await self.open_page()
        free = threading.Event()
        self._app.settings["executor"].submit(free.wait)
        await page.write_message(json.dumps({"type": "frame", "epochs": 1}))
        try:
            url = self.get_url(f"/?token={TOKEN}")
            response = await self.http_client.fetch(url)
            assert response.code == 200
        finally:
            free.set()
        assert (await answer(page))[0]["epoch"] == 1

    @patient
    async def test_a_page_that_is_closed_meanwhile(self):
        page = await self.open_page()
        free = threading.Event()
        self._app.settings["executor"].submit(free.wait)
        await page.write_message(json.dumps({"type": "frame", "epochs": 1}))
        page.close()
        await asyncio.sleep(0.1)
        free.set()
        other = await self.open_page()
        assert (await ask(other, type="frame"))[0]["epoch"] == 0
        assert len(self._app.settings["used"]) == 1


def start(*arguments):
    command = [sys.executable, "-m", "fastmlp", "playground", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("interruptible")
def test_command_prints_the_address_and_ends_by_ctrl_c():
    process = start("--no-browser")
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        url = lines[1].strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", url)
        with pytest.raises(HTTPError, match="403"):
            urlopen(url[:-1])
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_port_and_browser(monkeypatch):
    called = []
    monkeypatch.setattr(_server, "serve", lambda *given: called.append(given))
    main_module.main(["playground"])
    main_module.main(["playground", "--port", "7000", "--no-browser"])
    assert called == [(0, True), (7000, False)]


def test_a_port_that_cannot_be_had():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit, match="choose another --port"):
            main_module.main(["playground", "--port", port, "--no-browser"])


def test_without_tornado():
    code = """
import sys
sys.modules["tornado"] = None
from fastmlp.__main__ import main
main(["playground"])
"""
    ran = run_python(code)
    assert ran.returncode == 1
    assert "pip install 'fastmlp[playground]'" in ran.stderr
    assert "Traceback" not in ran.stderr
