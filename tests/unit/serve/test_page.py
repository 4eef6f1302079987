"""The chat page in a real browser: runs where Playwright for Python and Chromium are installed.

``pip install playwright`` is enough beside the system's own Chromium; no browser is downloaded.
"""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")
import uvicorn
from playwright import sync_api as playwright

from growlm.serve.app import create_app
from growlm.serve.engine import Engine

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NewStack = Callable[..., Any]
pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
MOST = 60


class Slow(Engine):
    """An engine whose answers take seconds, so that a person can do something in between."""

    pause = 0.0

    def submit(self, *args: Any) -> Any:
        job = super().submit(*args)
        put = job.put

        def put_later(token: Any) -> None:
            time.sleep(self.pause)
            put(token)

        job.put = put_later
        return job


@pytest.fixture
def server(new_stack: NewStack) -> Iterator[Any]:
    engine = Slow(new_stack(modules=("first", "second")), seconds=60)
    config = uvicorn.Config(create_app(engine, MOST), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    server.engine = engine
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield server
    server.should_exit = True
    thread.join()
    engine.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(server: Any, browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 390, "height": 700})
    page.set_default_timeout(60_000)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request))
    page.goto(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    page.wait_for_selector("option[value=second]", state="attached")
    yield page
    page.close()


def say(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def answered(page: Any, count: int) -> list[str]:
    page.locator("small").nth(count - 1).wait_for()
    return page.locator("small").all_inner_texts()


def roles(page: Any) -> list[str]:
    return page.evaluate("messages.map(message => message.role)")


def test_a_conversation_by_keyboard(page: Any) -> None:
    page.keyboard.type("hello Tom")  # the cursor is in the field already
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("<b>the cat</b><script>document.title = 'taken'</script>")
    page.keyboard.press("Enter")
    answered(page, 1)
    page.select_option("#model", "first")
    say(page, "yes")
    assert answered(page, 2)[1].startswith("answered by first")
    assert roles(page) == ["user", "assistant", "user", "assistant"]
    first = page.locator("article.user").first
    assert first.inner_text() == "hello Tom\n<b>the cat</b><script>document.title = 'taken'</script>"
    assert page.title() == "growlm"
    assert {request.url.split("/")[2] for request in page.asked} == {page.url.split("/")[2]}


def test_what_is_typed_while_an_answer_runs_waits(page: Any, server: Any) -> None:
    server.engine.pause = 0.02
    say(page, "hello Tom")
    page.wait_for_selector("#send:text-is('Stop')")
    say(page, "the cat")
    assert page.input_value("#text") == "the cat"
    answered(page, 1)
    page.press("#text", "Enter")
    answered(page, 2)
    assert roles(page) == ["user", "assistant", "user", "assistant"]


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_stop_keeps_what_was_said_and_frees_the_server(page: Any, server: Any, how: str) -> None:
    server.engine.pause = 0.05
    say(page, "hello Tom")
    page.locator(".assistant", has_text=re.compile("....")).wait_for()
    _ = page.click("#send") if how == "button" else page.press("#text", "Escape")
    [note] = answered(page, 1)
    assert note.endswith(", stopped")
    assert roles(page) == ["user", "assistant"]
    server.engine.pause = 0.0
    say(page, "the cat")
    answered(page, 2)


def test_a_new_conversation_drops_the_answer_on_its_way(page: Any, server: Any) -> None:
    server.engine.pause = 0.02
    say(page, "hello Tom")
    page.wait_for_selector("#send:text-is('Stop')")
    page.click("#reset")
    page.wait_for_selector("#send:text-is('Send')")
    assert roles(page) == []
    server.engine.pause = 0.0
    say(page, "the cat")
    answered(page, 1)
    assert roles(page) == ["user", "assistant"]
    assert page.locator("article").count() == 2


def test_an_answer_that_is_cut_says_so(page: Any) -> None:
    page.route(
        "**/completions", lambda route: route.continue_(post_data={**route.request.post_data_json, "max_tokens": 2})
    )
    say(page, "hello Tom")
    assert answered(page, 1)[0].endswith("cut at the greatest length")


def test_a_refused_turn_goes_back_to_the_field(page: Any) -> None:
    say(page, "the cat " * 200)
    page.wait_for_selector(".error")
    assert "tokens, the context 256" in page.inner_text(".error")
    assert page.input_value("#text").startswith("the cat the cat")
    assert roles(page) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 390
    say(page, "hello Tom")
    answered(page, 1)


def test_a_server_that_is_gone_is_told(page: Any, server: Any) -> None:
    server.should_exit = True
    while server.servers[0].is_serving():
        time.sleep(0.02)
    say(page, "hello Tom")
    page.wait_for_selector(".error")
    assert "is growlm serve running?" in page.inner_text(".error")
    assert page.input_value("#text") == "hello Tom"
