"""What a move of a slider of `pba.interact` takes on every recording: meant to be under 200 ms.

python -m tests.benchmarks.bench_sliders
"""

from __future__ import annotations

import time

import numpy as np

import pba
from pba.sliders import Sliders


def main() -> None:
    """Print the median and the longest of eight moves of U for each recording, in ms."""
    for name in pba.recordings():
        made = Sliders(name)
        made.wait(120)
        took = []
        for value in made.u.options[3:43:5]:
            begun = time.perf_counter()
            made.u.value = value
            took.append(1000 * (time.perf_counter() - begun))
        print(f"{name:22} median {np.median(took):6.1f} ms, longest {max(took):6.1f} ms")


if __name__ == "__main__":
    main()
