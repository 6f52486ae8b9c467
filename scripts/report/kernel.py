"""The Python processes that a chain executes its notebooks in.

jupyter_client takes a moment to import: `scripts.chain` imports this file only when it needs a kernel.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

from scripts import REPOSITORY
from scripts.parallel import FILES
from scripts.report.run import IN_CHAIN, SHARED

if TYPE_CHECKING:
    from nbformat import NotebookNode

ENVIRONMENT = {
    "PLOTLY_RENDERER": "plotly_mimetype",  # figures as JSON, which the pages draw
    "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
    # threads that have nothing to do sleep: spinning, they take a fifth of the chain's time, and cores from each other
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_THREAD_TIMEOUT": "4",  # 2^4 cycles
    "MALLOC_ARENA_MAX": "2",  # of glibc: what threads have freed is used by others, too, a quarter of the memory
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else each kernel warns on stderr about its debugger
}
SLOW_MODULES = ["anndata", "plotly.graph_objects", "scanpy", "torch"]  # seconds of every chain's first notebook
PRELOAD = """\
import contextlib, importlib
for name in {}:
    with contextlib.suppress(Exception):  # the notebook that needs it will say what is wrong
        importlib.import_module(name)
"""


FORGET = """\
import sys, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of options that pandas will not have for much longer
    if "pandas" in sys.modules:
        sys.modules["pandas"].reset_option("all")
%reset -f
"""


class Kernel:
    """One Python process for many notebooks: what they import is imported once.

    A context manager: the process starts with the block and is killed at its end. A block inside another one takes over
    the process that runs, and its end too.

    Parameters
    ----------
    folder : Path
        Where the process starts.
    files : Path
        Folder for the file that tells how to connect to the process, and for what workers of a cluster read.
    threads : int, optional
        Of linear algebra; all cores if not given. A process beside another one does best with 1: the threads of both
        would spin while they wait for a core.
    """

    def __init__(self, folder: Path, files: Path, threads: int | None = None):
        # papermill's client has to be asynchronous: a blocking one would wait for a dead process for ever
        self.manager = KernelManager(
            kernel_name="python3",
            client_class="jupyter_client.asynchronous.AsyncKernelClient",
            connection_file=str(files.resolve() / f".kernel-{uuid.uuid4().hex[:8]}.json"),
        )
        self._folder = folder
        self._environment = {IN_CHAIN: "1", FILES: str(files.resolve() / SHARED)} | (
            {"OMP_NUM_THREADS": str(threads)} if threads else {}
        )
        self._client: Any = None  # of jupyter_client, once the process has started

    def __enter__(self) -> Kernel:
        if self._client is None:
            self._start()
        return self

    def _start(self) -> None:
        os.environ.update(ENVIRONMENT)
        quiet = ["--IPKernelApp.log_level=CRITICAL"]  # keeps the clock's line
        try:
            environment = os.environ | self._environment
            self.manager.start_kernel(cwd=str(self._folder), env=environment, extra_arguments=quiet)
            # one client for the whole life, and of its channels the one that requests need: no waiting for readiness
            self._client = self.manager.blocking_client()
            self._client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def preload(self, modules: Iterable[str]) -> None:
        """Import modules, without waiting for it; what cannot be imported is passed over."""
        # without stop_on_error=False, a failure would also cancel the requests that are queued behind this one
        self._client.execute(PRELOAD.format(list(modules)), silent=True, store_history=False, stop_on_error=False)

    def execute(self, notebook: Path, parameters: dict, advance: Callable[[], None] = lambda: None) -> NotebookNode:
        """Execute a notebook among no names of the last one; returns it with its outputs.

        advance : called after each cell that was executed. PapermillExecutionError where a cell fails, DeadKernelError
        where the process ends.
        """
        import papermill

        self.forget()
        logging.getLogger("papermill").setLevel(logging.CRITICAL)  # a dead kernel is told by the error alone
        # no output path: papermill would leave a half-executed notebook there. No cwd: it would change that of this
        # process, which may execute notebooks in several threads; the kernel has started in its folder
        usual = {"kernel_name": "python3", "progress_bar": False, "km": self.manager}
        return papermill.execute_notebook(notebook, None, parameters, **usual, on_cell_executed=lambda **_: advance())

    def forget(self) -> None:
        """Delete all names of the last notebook, and reset its options of pandas, so that the next cannot lean on them.

        Returns when it is done, and so when all that was asked for before is done; DeadKernelError where the process
        has ended.
        """
        request = self._client.execute(FORGET, silent=True, store_history=False)
        while self._next_answered() != request:
            if not self.manager.is_alive():
                from nbclient.exceptions import DeadKernelError

                raise DeadKernelError("Kernel died")

    def _next_answered(self) -> str | None:
        """Id of the request that the next reply answers; None if there is no reply within a second."""
        try:
            return self._client.get_shell_msg(timeout=1)["parent_header"].get("msg_id")
        except queue.Empty:
            return None

    def kill(self) -> None:
        """End the process. A notebook that another thread executes in it fails within a second or so."""
        with contextlib.suppress(ProcessLookupError):  # it has ended before
            if self.manager.has_kernel:
                self.manager.signal_kernel(getattr(signal, "SIGKILL", signal.SIGTERM))

    def stop(self) -> None:
        """End the process, wait until it has ended and free what it held; harmless when it has ended before."""
        self.kill()  # first: the manager interrupts before it kills, which a process may answer with a traceback
        if self._client is not None:
            self._client.shell_channel.stop()
            self._client = None
        with contextlib.suppress(Exception):  # interrupted half-way, the manager stumbles over its own state
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_connection_file()
