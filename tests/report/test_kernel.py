"""The Python processes that notebooks are executed in."""

import pytest
from nbclient.exceptions import DeadKernelError

from scripts.report.kernel import Kernel

pytestmark = pytest.mark.slow


@pytest.fixture
def kernel(tmp_path):
    (tmp_path / "slow_module.py").write_text('import time\ntime.sleep(0.5)\nopen("slow.txt", "w").close()\n')
    with Kernel(tmp_path, tmp_path) as kernel:
        yield kernel


def ask(kernel, expression):
    """Value of an expression in the kernel, as text; None where it fails."""
    client = kernel.manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    reply = client.execute("", user_expressions={"asked": expression}, reply=True, timeout=60)
    client.stop_channels()
    return reply["content"]["user_expressions"]["asked"].get("data", {}).get("text/plain")


def test_forgetting_deletes_names_and_waits_for_what_is_preloaded(kernel, tmp_path):
    kernel._client.execute("left = 1")  # its reply, and that of the preloading, come before that of forgetting
    kernel.preload(["slow_module"])
    kernel.forget()
    assert (tmp_path / "slow.txt").exists()
    assert ask(kernel, "1 + 1") == "2"
    assert [ask(kernel, name) for name in ("left", "name", "importlib", "slow_module")] == [None] * 4
    assert ask(kernel, "'slow_module' in __import__('sys').modules") == "True"


def test_modules_that_are_missing_or_broken_are_passed_over(kernel, tmp_path):
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    kernel.preload(["no_such_module", "broken_module", "slow_module"])
    kernel.forget()
    assert ask(kernel, "'slow_module' in __import__('sys').modules") == "True"


def test_a_dead_kernel_is_noticed(kernel):
    kernel.forget()
    kernel.kill()
    with pytest.raises(DeadKernelError):
        kernel.forget()


def test_stopping_ends_the_process_and_does_no_harm_twice(kernel):
    process = kernel.manager.provisioner.process
    kernel.stop()
    assert process.poll() is not None
    kernel.stop()
    kernel.kill()


def test_an_inner_block_takes_over_the_running_process(kernel):
    process = kernel.manager.provisioner.process
    with kernel as same:
        assert same is kernel and kernel.manager.provisioner.process is process
    assert process.poll() is not None
