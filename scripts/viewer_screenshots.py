"""Make the pictures of docs/viewer.md from the log of a run: ``python scripts/viewer_screenshots.py RUN``.

This needs Chromium and its driver, and selenium. The run should have whole groups in its log
(``++halluc.trace_log.per_step``), some answers that edits turned right, and metrics.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from halluc_plugin.viewer.answers import Flip, ShownAnswer
from halluc_plugin.viewer.page import write_page
from halluc_plugin.viewer.sources import read_sources

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
SIZE = (1400, 860)
READY = "document.documentElement.dataset.ready && document.querySelector(arguments[0])"


def main() -> None:
    """Write the page of a run into a temporary folder, and a picture of four of its views."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run with a trace log")
    parser.add_argument("--out", type=Path, default=FIGURES, help="where to (default: docs/figures)")
    options = parser.parse_args()
    (source,) = read_sources([options.run])
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        write_page([source], page)
        driver = _driver(Path(folder) / "profile")
        try:
            for name, (address, selector, height) in _views(source.answers).items():
                driver.set_window_size(SIZE[0], height)
                driver.get("about:blank")
                driver.get(f"{page.as_uri()}#{address}")
                while not driver.execute_script(f"return !!({READY})", selector):
                    time.sleep(0.05)
                time.sleep(0.3)
                driver.save_screenshot(str(options.out / f"viewer-{name}.png"))
        finally:
            driver.quit()


def _driver(profile: Path) -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def _views(answers: "list[ShownAnswer]") -> dict[str, tuple[str, str, int]]:
    """Name of the picture to the address of a view, what it must have drawn, and the height of the window."""
    turned = [shown for shown in answers if shown.flip is Flip.TO_CORRECT] or answers
    deepest = max(turned, key=lambda shown: (shown.deepest or 0, shown.edits, -(shown.step or 0)))
    # Short answers, so that those of the whole group and their tree have room in a picture.
    grouped = min(turned, key=lambda shown: (shown.edits < 2, _length_of_group(shown, answers)))
    first = deepest.record.events[0].start if deepest.record and deepest.record.events else 0
    link = f"flip={Flip.TO_CORRECT}&answer={_address(deepest)}"
    return {
        "answer": (f"{link}&at={first}&theme=light", ".trace .held", SIZE[1]),
        "tree": (f"{link}&tab=tree&theme=dark", ".tree", SIZE[1]),
        "group": (f"answer={_address(grouped)}&tab=group&theme=light", ".group + .block .tree", 1420),
        "run": ("view=run&theme=light", ".charts .curve", 1000),
    }


def _length_of_group(shown: ShownAnswer, answers: "list[ShownAnswer]") -> int:
    own = (shown.step, shown.group)
    return sum(other.raw_length or 0 for other in answers if (other.step, other.group) == own)


def _address(shown: ShownAnswer) -> str:
    return f"0%3A{shown.step}%3A{shown.answer}"


if __name__ == "__main__":
    main()
