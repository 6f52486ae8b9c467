"""The command line: `python -m scripts`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from scripts.report import chain

DESCRIPTION = "Execute all notebooks on one data set and write HTML pages into reports/<run>/."
HELP = """\
examples:
  python -m scripts report
  python -m scripts report --dataset paul15 --run first
  python -m scripts report --dataset my_cells.h5ad --params settings.yaml

settings.yaml holds parameters of the notebooks, one to a line, such as
  n_epochs: 100
  lr: 1.0e-3

exit status: 0 done; 1 a notebook failed; 2 a wrong option, setting or data set, nothing was started; 130 interrupted
"""


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    begin = time.monotonic()
    status = 1
    try:
        from scripts.report import kernel as kernels

        with kernels.Kernel(chain.NOTEBOOKS) as kernel, ThreadPoolExecutor(1) as aside:
            kernel.preload(kernels.SLOW_MODULES)  # before the plan, which has slow imports of its own
            status = 2
            run, steps, reason = chain.plan(options.dataset, options.run, options.params, options.reports)
            status = 1
            chain.say(f"{reason}\n")
            aside.submit(importlib.import_module, "scripts.report.pages")  # takes a moment, which the notebooks leave
            chain.execute(run, steps, kernel)
        with chain.clock("pages"):
            from scripts.report import pages

            index = pages.write_pages(run)
    except (chain.NotebookFailed, ValueError, OSError) as error:
        print(f"error: {chain.one_line(error)}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    minutes, seconds = divmod(round(time.monotonic() - begin), 60)
    print(f"{index} ({minutes} min {seconds} s)")
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m scripts", description=DESCRIPTION, epilog=HELP, formatter_class=raw
    )
    commands = parser.add_subparsers(required=True, metavar="report")
    report = commands.add_parser(
        "report", help="execute the notebooks and write the pages", epilog=HELP, formatter_class=raw
    )
    report.add_argument(
        "--dataset", default="auto", help="name of a data set, or path of an .h5ad file (default: auto)"
    )
    report.add_argument("--run", help="name of the run folder (default: name of the data set)")
    report.add_argument("--params", metavar="FILE.yaml", help="settings that differ from the notebooks' defaults")
    report.add_argument("--reports", default="reports", help="folder of all runs (default: reports)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
