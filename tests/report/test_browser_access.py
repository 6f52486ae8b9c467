"""Pages can be used by all: with a keyboard, a screen reader, weak eyes."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.report.browsing import LAPTOP, opened

# style sheets are judged as the browser has them: axe would ask for their files
FAULTS = """axe.run({ preload: false }).then(({ violations }) => violations
  .filter((fault) => ["serious", "critical"].includes(fault.impact))
  .map((fault) => [fault.id, ...fault.nodes.map((node) => node.html.slice(0, 120))]))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser, small_run, scheme):
    largest = max(small_run.folder.glob("[0-9]*.html"), key=lambda path: path.stat().st_size)
    for path in [small_run.path("index.html"), small_run.path("frequency_0.html"), largest]:
        with opened(browser, path, LAPTOP, scheme) as page:
            page.evaluate(AXE_SCRIPT)
            assert page.evaluate(FAULTS) == [], path.name
