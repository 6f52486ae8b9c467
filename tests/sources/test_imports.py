import subprocess
import sys

HEAVY = ("anndata", "h5py", "numpy", "pandas", "pooch", "requests", "scanpy", "sklearn", "torch")


def test_importing_the_sources_loads_nothing_heavy():
    listing = f"import sys, scripts.sources; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
