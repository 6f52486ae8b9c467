from concurrent.futures import Executor, Future

from scripts.parallel import side_by_side


class Recording(Executor):
    """Works at once, and notes what it was given."""

    def __init__(self):
        self.given, self.is_closed = [], False

    def submit(self, fn, /, *args, **kwargs):
        self.given.append(args)
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.is_closed = True


def test_work_goes_to_the_executor_that_is_handed_in_which_stays_open():
    executor = Recording()
    assert side_by_side(lambda item: item**2, range(4), executor) == [0, 1, 4, 9]
    assert executor.given == [(0,), (1,), (2,), (3,)] and not executor.is_closed


def test_results_come_in_the_order_of_the_items():
    assert side_by_side(lambda item: item**2, range(50)) == [item**2 for item in range(50)]
