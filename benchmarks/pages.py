"""Seconds until a browser has drawn the pages of a run: `python -m benchmarks.pages reports/paul15`.

Needs Chromium (on PATH, or named by BMLP_CHROMIUM). Run it on an idle machine.
"""

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright


def seconds_to_open(browser: Browser, page: Path, repeats: int = 3) -> tuple[float, float]:
    """Least of some repeats, in seconds: (until the last figure is drawn, for which the page's thread worked)."""
    walls, works = [], []
    for _ in range(repeats):
        with contextlib.closing(browser.new_context(viewport={"width": 1200, "height": 900}, offline=True)) as context:
            tab = context.new_page()
            session = context.new_cdp_session(tab)
            session.send("Performance.enable")
            begin = time.perf_counter()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            tab.evaluate("window.figuresDrawn")
            walls.append(time.perf_counter() - begin)
            metrics = session.send("Performance.getMetrics")["metrics"]
            works.append(next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime"))
    return min(walls), min(works)


def main(folder: str) -> None:
    """Print a line for each page of a run folder, the largest first."""
    pages = sorted(Path(folder).glob("*.html"), key=lambda page: page.stat().st_size, reverse=True)
    found = os.environ.get("BMLP_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not pages or not found:
        sys.exit("error: no Chromium on PATH; name it in BMLP_CHROMIUM" if pages else f"error: no pages in {folder}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for page in pages:
            wall, work = seconds_to_open(browser, page)
            size = page.stat().st_size / 1e6
            print(f"{page.stem}, {size:.1f} MB: {wall:.2f} s, its thread at work for {work:.2f} s", flush=True)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "reports/paul15")
