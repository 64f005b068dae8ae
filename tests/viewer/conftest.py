"""Answers to look at, and a browser to look with."""

import base64
import json
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from halluc_plugin.edits import EditVocab, read_record, trace_record
from halluc_plugin.trace_log import TraceLog, logged_trace
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import ShownAnswer

TEXTS = ["3", "+", "8", "\n", "<|BACKTRACK|>", "5", "=", "1"]
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1400,900"
)


class Words:
    """A tokenizer of the texts above."""

    def decode(self, ids):
        """The texts, joined."""
        return "".join(TEXTS[i] for i in ids)


@pytest.fixture
def logged():
    """``3 + 8 ⌫ 3 ↵``: one error, taken back."""
    return logged_trace(
        step=7, answer="u_3_0", prompt=[0, 2, 3], response=[0, 1, 2, 4, 0, 3],
        response_mask=[1, 1, 0, 1, 1, 1], advantages=[0.5, 0.5, 0.0, 0.5, 0.5, 0.5],
        reward=1.0, scores={"acc": 1.0, "acc_raw": 0.0, "num_events": 1.0}, tokenizer=Words(),
        vocab=EditVocab(backtrack=4),
    )  # fmt: skip


@pytest.fixture
def run(logged, tmp_path):
    """The folder of a run with one answer, of step 7."""
    TraceLog(tmp_path / "run", 1).write(7, [logged])
    return tmp_path / "run"


@pytest.fixture(scope="session")
def made():
    """Makes an answer of ids of the texts above; verdicts are those with edits, and without."""

    def make(name, ids, right=True, first=False, prompt="3 8\n", **fields):
        verdicts = {True: Outcome.CORRECT, False: Outcome.WRONG, None: None}
        return ShownAnswer(
            answer=name, prompt=prompt, tokens=[TEXTS[i] for i in ids],
            record=read_record(trace_record(ids, EditVocab(backtrack=4))), outcome=verdicts[right],
            first_outcome=verdicts[first], **fields,
        )  # fmt: skip

    return make


class Browser:
    """Chromium with a page, and what a test asks of it."""

    def __init__(self, driver):
        self.driver, self.path = driver, None

    def open(self, path, address=""):
        """Load a page, and wait until it is drawn."""
        self.path = path
        self.driver.get("about:blank")  # so that it loads where only the address behind the # differs
        self.clear()
        self.driver.get(f"{path.as_uri()}#{address}")
        self.until("document.documentElement.hasAttribute('data-ready')")

    def ask(self, script, *arguments):
        """The value of an expression in the page."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def until(self, condition, seconds=10):
        """Wait for an expression to be true; returns its value."""
        end = time.monotonic() + seconds
        while not (value := self.ask(condition)):
            assert time.monotonic() < end, f"never: {condition}"
            time.sleep(0.02)
        return value

    def go(self, address):
        """Change the address behind the #."""
        self.ask("location.hash = arguments[0]", address)

    def text(self, selector):
        """The text of an element."""
        return self.ask("document.querySelector(arguments[0])?.textContent", selector)

    def count(self, selector):
        """How many elements there are."""
        return self.ask("document.querySelectorAll(arguments[0]).length", selector)

    def click(self, selector):
        """Click an element as a hand does."""
        self.driver.find_element("css selector", selector).click()

    def point(self, selector):
        """Move the pointer onto an element."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).move_to_element(
            self.driver.find_element("css selector", selector)
        ).perform()

    def keys(self, text):
        """Type where the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(text).perform()

    def print(self):
        """The page as it is printed: a PDF."""
        from selenium.webdriver.common.print_page_options import PrintOptions

        return base64.b64decode(self.driver.print_page(PrintOptions()))

    def clear(self):
        """Forget what was logged."""
        for kind in ("performance", "browser"):
            self.driver.get_log(kind)

    def requests(self):
        """Addresses that were asked for, but for the page itself."""
        sent = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
        sockets = [m["params"]["url"] for m in sent if m["method"] == "Network.webSocketCreated"]
        return [
            url for url in asked + sockets if url.split("#")[0] not in {self.path.as_uri(), "about:blank"}
        ]

    def complaints(self):
        """What the page's console says: errors, and what the policy has forbidden."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """One browser for all tests; they are skipped where there is none."""
    found, driven = shutil.which("chromium"), shutil.which("chromedriver")
    if not (found and driven and find_spec("selenium")):
        pytest.skip("needs chromium and chromium-driver (apt), and selenium (pip)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found
    for option in (*OPTIONS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driven))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def browser(chromium):
    """The browser; a page that asked for anything, or complained, has failed the test."""
    chromium.clear()
    yield chromium
    if chromium.path is not None:
        assert chromium.requests() == []
        assert chromium.complaints() == []


@pytest.fixture(scope="session")
def axe():
    """The program of axe-core, which looks for what keeps people from using a page."""
    spec = find_spec("axe_core_python")
    if spec is None:
        pytest.skip("needs axe-core-python (pip)")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")
