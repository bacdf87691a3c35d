"""`web.fetch` against servers of this machine that lead elsewhere, never end, or are not what they say."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from samovar.actions.reached import VisitOf
from samovar.actions.tools import ToolResult
from samovar.tools import pages
from samovar.tools import servers as servers_of_run
from samovar.tools.page_line import FoundAddress, PageLine, dial, is_inside
from samovar.tools.servers import open_servers

Answer = Callable[["_Handler"], None]
WAIT_S = 30
HERE = VisitOf(run="run", number=1, path="A")


class _Handler(BaseHTTPRequestHandler):
    answers: Mapping[str, Answer]
    asked: list[str]
    gone: threading.Semaphore

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        try:
            self.answers[self.path](self)
        except OSError:
            self.gone.release()
        self.close_connection = True

    def head(self, status: int = 200, /, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody has gone before it could ask."""


class Site:
    """What is served. Mutable: what was asked."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.asked: list[str] = []
        self.gone = threading.Semaphore(0)
        """Released when somebody has gone while being answered."""
        members = {"answers": answers, "asked": self.asked, "gone": self.gone}
        self.server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), members))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def fetch(self, path: str, *more: str) -> ToolResult:
        return pages.fetch(f"http://{self.host}{path}", (self.host, *more))


@contextmanager
def site(answers: Mapping[str, Answer]) -> Iterator[Site]:
    one = Site(answers)
    thread = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        thread.join(WAIT_S)
        one.server.server_close()


def text(body: bytes, kind: str = "text/plain", **headers: str) -> Answer:
    def answer(to: _Handler) -> None:
        to.head(content_type=kind, content_length=str(len(body)), **headers)
        to.wfile.write(body)

    return answer


def leads(to: str, status: int = 302) -> Answer:
    return lambda handler: handler.head(status, location=to, content_length="0")


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_page_is_read_and_leads_on_within_its_host() -> None:
    with site({"/": leads("/next"), "/next": text(b"here")}) as one:
        assert one.fetch("/").text == "here"
        assert one.asked == ["/", "/next"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to",
    [
        *("http://localhost:{port}/secret", "http://[::1]:{port}/secret", "http://127.1:{port}/secret"),
        *("http://2130706433:{port}/secret", "http://169.254.169.254/latest/meta-data", "//0.0.0.0/secret"),
        *("file:///etc/passwd", "ftp://127.0.0.1/x", "http://me:word@127.0.0.1:{port}/secret", "http://[x"),
        *("http://127.0.0.1:{port}@evil.example/", "javascript:1", "data:text/plain,x", "http://127.0.0.1/"),
    ],
)
def test_no_page_leads_to_a_host_that_is_not_allowed(to: str, status: int) -> None:
    answers: dict[str, Answer] = {"/secret": text(b"secret")}
    with site(answers) as one:
        answers["/"] = leads(to.replace("{port}", one.host.partition(":")[2]), status)
        result = one.fetch("/")
        assert result.is_error and "secret" not in result.text.partition("leads to")[0]
        assert one.asked == ["/"], "nobody was asked for more"


def test_what_comes_with_a_redirection_is_not_read() -> None:
    def endless(to: _Handler) -> None:
        to.head(302, location="/next")
        while True:
            to.wfile.write(b"x" * 100_000)

    with site({"/": endless, "/next": text(b"here")}) as one:
        assert one.fetch("/").text == "here"
        assert one.gone.acquire(timeout=WAIT_S)


@pytest.mark.parametrize("name", ["docs.example.org", "a.internal"])
def test_a_name_that_leads_to_this_machine_is_not_followed(name: str) -> None:
    with site({"/": text(b"secret"), "/to": leads(f"http://{name}/")}) as one:
        inside: FoundAddress = (socket.AF_INET, ("127.0.0.1", one.server.server_port))
        outside: FoundAddress = (socket.AF_INET, ("93.184.216.34", 80))

        def find(host: str, port: int) -> list[FoundAddress]:
            return [inside]

        def find_both(host: str, port: int) -> list[FoundAddress]:
            return [outside, inside]

        for each in (find, find_both):
            result = pages.fetch(f"http://{name}/", (name,), find=each, dial=nobody_dials)
            assert result.is_refused and "leads to 127.0.0.1" in result.text and one.asked == []
        result = pages.fetch(f"http://{one.host}/to", (name, one.host), find=find)
        assert result.is_refused and one.asked == ["/to"]


def nobody_dials(found: FoundAddress, timeout_s: float) -> socket.socket:
    raise AssertionError(f"nobody connects to {found} if one of the addresses is inside")


def test_every_address_of_a_host_is_tried_and_all_together_have_one_time_limit() -> None:
    tried: list[tuple[object, float]] = []

    def dialled(found: FoundAddress, timeout_s: float) -> socket.socket:
        tried.append((found[1][0], timeout_s))
        if found == live:
            return dial(found, timeout_s)
        raise TimeoutError("timed out")

    with site({"/": text(b"here")}) as one:
        dead: list[FoundAddress] = [(socket.AF_INET, (f"192.0.2.{number}", 80)) for number in range(3)]
        live: FoundAddress = (socket.AF_INET, ("127.0.0.1", one.server.server_port))
        url, hosts = "http://localhost/", ("localhost",)
        result = pages.fetch(url, hosts, find=lambda *_: [*dead, live], dial=dialled)
        assert result.text == "here"
        assert [address for address, _ in tried] == ["192.0.2.0", "192.0.2.1", "192.0.2.2", "127.0.0.1"]
        assert tried[0][1] <= pages.LIMIT_S / 4 and tried[3][1] <= pages.LIMIT_S
        result = pages.fetch(url, hosts, find=lambda *_: dead, dial=dialled)
        assert result.text == "The page cannot be fetched: timed out."
    assert "no address" in pages.fetch(url, hosts, find=lambda *_: []).text


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        *(
            (one, True)
            for one in ("127.0.0.1", "127.9.9.9", "::1", "169.254.169.254", "fe80::1%eth0", "0.0.0.0")
        ),
        *((one, True) for one in ("::ffff:127.0.0.1", "::ffff:169.254.169.254", "224.0.0.1", "no address")),
        *((one, False) for one in ("93.184.216.34", "10.0.0.7", "2606:4700::1111", "::ffff:10.0.0.7")),
    ],
)
def test_addresses_of_this_machine_and_its_link_are_known(address: str, is_one: bool) -> None:
    assert is_inside(address) is is_one


@pytest.mark.parametrize("to", ["/", "/loop?{number}"])
def test_pages_that_lead_in_circles_are_given_up(to: str) -> None:
    numbers = iter(range(1000))

    class Every(dict[str, Answer]):
        def __missing__(self, path: str) -> Answer:
            return leads(to.replace("{number}", str(next(numbers))))

    with site(Every()) as one:
        result = one.fetch("/")
        assert result.is_error and len(one.asked) <= 11


def test_a_page_without_an_end_is_cut() -> None:
    def endless(to: _Handler) -> None:
        to.head(content_type="text/plain")
        while True:
            to.wfile.write(b"x" * 100_000)

    with site({"/": endless}) as one:
        result = one.fetch("/")
        assert one.gone.acquire(timeout=WAIT_S), "the rest is not read"
    assert not result.is_error
    assert len(result.text) < pages.MOST_BYTES + 200 and "the rest is left out" in result.text


def test_a_page_that_says_less_than_it_is_or_more_is_no_fault_of_ours() -> None:
    def short(to: _Handler) -> None:
        to.head(content_type="text/plain", content_length="1000")
        to.wfile.write(b"half")

    def long(to: _Handler) -> None:
        to.head(content_type="text/plain", content_length="3")
        to.wfile.write(b"whole")

    with site({"/short": short, "/long": long}) as one:
        assert (
            one.fetch("/short").text
            == "half\n[… the connection ended 996 bytes before the end of the page …]"
        )
        assert one.fetch("/long").text == "who"


@pytest.mark.parametrize("slow", ["before", "headers", "body", "steady"])
def test_a_slow_page_is_given_up(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LIMIT_S", 0.3)
    monkeypatch.setattr(pages, "WHOLE_S", 1.0)
    is_over = threading.Event()

    def answer(to: _Handler) -> None:
        if slow == "before":
            is_over.wait(WAIT_S)
        elif slow == "headers":
            while not is_over.wait(0.05):  # a header that never ends
                to.wfile.write(b"HTTP/1.1 200 OK\r\nx: " if not to.asked[1:] else b"x")
                to.asked.append("")
        else:
            to.head(content_type="text/plain")
            to.wfile.write(b"begin")
            while slow == "steady" and not is_over.wait(0.05):
                to.wfile.write(b".")
            is_over.wait(WAIT_S)

    with site({"/": answer}) as one:
        result = one.fetch("/")
        is_over.set()
    assert result.is_error and "cannot be fetched" in result.text


def test_a_page_behind_tls_is_given_up_too_before_anything_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LIMIT_S", 10 * WAIT_S)
    monkeypatch.setattr(pages, "WHOLE_S", 0.2)
    results: list[ToolResult] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        thread = threading.Thread(
            target=lambda: results.append(pages.fetch(f"https://{host}/", (host,))), daemon=True
        )
        thread.start()
        thread.join(WAIT_S)
    assert [one.text for one in results] == ["The page cannot be fetched: it took longer than 200 ms."]


def test_a_connection_that_comes_when_the_time_is_over_is_cut_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def dialled(found: FoundAddress, timeout_s: float) -> socket.socket:
            line._cut()  # while it is being made
            return dial(found, timeout_s)

        with PageLine(WAIT_S, dial=dialled) as line, pytest.raises(TimeoutError):
            line.connected("127.0.0.1", silent.getsockname()[1], WAIT_S, is_proxy=False)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/zip", "text", ""])
def test_what_is_not_text_is_named_and_not_shown(kind: str) -> None:
    with site({"/": text(b"\x89PNG secret", kind)}) as one:
        result = one.fetch("/")
    assert result.is_error == (kind not in ("text", "")), "without a kind, HTTP says it is text"
    assert not result.is_error or (kind in result.text and "secret" not in result.text)


def test_a_page_that_says_it_is_text_and_is_not_cannot_do_anything() -> None:
    with site({"/": text(bytes(range(256)), "text/plain; charset=no-such-charset")}) as one:
        assert not one.fetch("/").is_error


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-gzip, gzip"])
def test_a_page_that_is_packed_is_refused_and_not_unpacked(coding: str) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with site({"/": text(bomb, "text/html", content_encoding=coding)}) as one:
        result = one.fetch("/")
    assert result.is_error and coding in result.text and len(result.text) < 300


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_status_is_said(status: int) -> None:
    with site({"/": lambda to: to.head(status, content_length="0")}) as one:
        assert str(status) in one.fetch("/").text


def test_what_is_no_http_is_a_failure() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def speak() -> None:
            to, _ = listening.accept()
            with to:
                to.recv(10_000)
                to.sendall(b"220 mail ESMTP\r\n" * 10)

        thread = threading.Thread(target=speak)
        thread.start()
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        assert "cannot be fetched" in pages.fetch(f"http://{host}/", (host,)).text
        thread.join(WAIT_S)


def test_html_that_opens_without_an_end_takes_a_time_that_grows_with_it() -> None:
    for piece in ("<p>", "<!--", "<script>", "&#", "<a b='", "]]>", "<![CDATA[", "<!", "</"):
        body = (piece * 40_000).encode()
        with site({"/": text(body, "text/html")}) as one:
            assert len(one.fetch("/").text) <= len(body)


@pytest.mark.anyio
async def test_a_page_that_nobody_waits_for_any_more_keeps_no_process_alive(tmp_path: Path) -> None:
    is_asked, is_over = threading.Event(), threading.Event()

    def answer(to: _Handler) -> None:
        is_asked.set()
        is_over.wait(WAIT_S)

    with site({"/": answer}) as one:
        async with open_servers("run", tmp_path) as servers, anyio.create_task_group() as tasks:
            tasks.start_soon(servers.fetch, f"http://{one.host}/", (one.host,), HERE)
            assert await anyio.to_thread.run_sync(is_asked.wait, WAIT_S)
            tasks.cancel_scope.cancel()
        (thread,) = [found for found in threading.enumerate() if found.name == "samovar page"]
        assert thread.daemon
        is_over.set()
        thread.join(WAIT_S)  # which blocks the event loop: the thread must not need it
        assert not thread.is_alive()


@pytest.mark.anyio
async def test_a_name_that_is_looked_up_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (is_over.wait(WAIT_S), [])[1])
    monkeypatch.setattr(pages, "WHOLE_S", 0.1)
    monkeypatch.setattr(servers_of_run, "GRACE_S", 0.1)
    async with open_servers("run", tmp_path) as servers:
        result = await servers.fetch("http://slow.example/", ("slow.example",), HERE)
    is_over.set()
    assert result.is_error and "was not found in time" in result.text
