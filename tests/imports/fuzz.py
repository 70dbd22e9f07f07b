"""Feed a parser mutated recordings: it must read them or refuse them in one clear line, and nothing else.

    python -m tests.imports.fuzz --parser perf --seconds 600

Mutations know what recordings are made of: lines, numbers, fields, stacks. The input at fault is written to
`--out`, and stands in `current-PARSER` there while it is read, should the interpreter itself die. Compiled
code runs with bounds checks.
"""

from __future__ import annotations

import argparse
import lzma
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")

from pba.errors import PbaError
from pba.imports.read import read_any
from pba.trace.forms.csv import read_csv
from tests.imports.importers import GOLDEN, IMPORTERS

LONGEST_SAMPLE = 6_000
NUMBERS = (
    b"0", b"-1", b"1", b"12", b"13", b"127", b"128", b"2147483647", b"2147483648", b"4611686018427387903",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"99999999999999999999999",
    b"0x", b"0xffffffffffffffff", b"1.5", b"1e9", b"nan", b"",
)  # fmt: skip
PIECES = (
    b"\0", b"\r", b"\n", b"\n\n", b"\t", b" ", b",", b";", b'"', b"#", b"=", b"|", b"[", b"]", b":", b"\xff",
    b"\xc3", b"=>", b"<stack trace>", b"CPU:0 [LOST 3 EVENTS]\n", b"Lost 3 events\n", b"@sent: 7\n",
    b"PERF_RECORD_LOST lost 3",
    b"</script>", b'<script class="trace-data">', b"mm_page_free:", b"pfn=", b"order=40", b"order=",
    b"gfp_flags=", b"|__GFP_LATER", b"0x4zz", b"CPU 0 is empty", b" (in-irq)",
    b"# pba metadata {}\n", b"# entries-in-buffer/entries-written: 5/9", b"[FAILED TO PARSE]", b"PAR1",
)  # fmt: skip


def samples(parser: str) -> list[bytes]:
    """Return what to mutate: the events of all importers, and pieces of the golden files."""
    found = [IMPORTERS[parser].write()]
    for path in sorted(path for path in GOLDEN.iterdir() if path.is_file()):
        content = path.read_bytes()
        content = lzma.decompress(content) if path.suffix == ".xz" else content
        wanted = {"ftrace": ".ftrace", "perf": ".perf", "bpftrace": ".bpftrace", "systrace": ".html"}
        if wanted.get(parser, "none") in path.name:
            lines = content.splitlines(keepends=True)
            for start in (0, len(lines) // 2):
                found.append(b"".join(lines[start : start + 200])[:LONGEST_SAMPLE])
    if parser == "text":
        found.append(b'# pba metadata {"format_version": 1}\n' + b"5 D\n6 B 3 9\n7 b 3\n8 S 0\n9 b 3\n")
    if parser == "csv":
        found.append(b'time_ns;op;id;arg\n1;alloc;"a b";\n2;shrink;;3\n3;free;"a b";\n')
    return found


def mutate(rng: random.Random, pool: list[bytes]) -> bytes:
    """Return a sample with a few things done to it."""
    content = rng.choice(pool)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        content = rng.choice(MUTATIONS)(rng, content, pool)
    return content[: 4 * LONGEST_SAMPLE]


def _place(rng: random.Random, content: bytes) -> int:
    return rng.randrange(len(content) + 1)


def _flip(rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    at = _place(rng, content)
    return content[:at] + rng.randbytes(1) + content[at + 1 :]


def _remove(rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + rng.choice((1, 2, 8, 100)) :]


def _insert(rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    at = _place(rng, content)
    return content[:at] + rng.choice((*PIECES, rng.randbytes(9))) + content[at:]


def _number(rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """Replace a number."""
    at = _place(rng, content)
    while at < len(content) and not content[at : at + 1].isdigit():
        at += 1
    end = at
    while end < len(content) and content[end : end + 1].isdigit():
        end += 1
    return (
        content[:at]
        + rng.choice((*NUMBERS, b"%d" % rng.getrandbits(rng.choice((8, 33, 64)))))
        + content[end:]
    )


def _lines(rng: random.Random, content: bytes, pool: list[bytes]) -> bytes:
    """Remove, repeat or swap lines, or take some of another sample."""
    lines = content.splitlines(keepends=True) or [b"\n"]
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[at : at + rng.choice((1, 3, 20))]
    elif kind == 1:
        lines[at:at] = lines[other : other + 5] * rng.choice((1, 2, 50))
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        theirs = rng.choice(pool).splitlines(keepends=True)
        start = rng.randrange(len(theirs) + 1)
        lines[at:at] = theirs[start : start + 8]
    return b"".join(lines)


def _cut(rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    return content[: _place(rng, content)]


def _line_ends(_rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    return content.replace(b"\n", b"\r\n")


def _wide(rng: random.Random, content: bytes, _: list[bytes]) -> bytes:
    """Repeat a byte many times: long names, long stacks, long lines."""
    at = _place(rng, content)
    return content[:at] + (content[at : at + 1] or b" ") * rng.choice((70, 300, 5_000)) + content[at + 1 :]


MUTATIONS: tuple[Callable[[random.Random, bytes, list[bytes]], bytes], ...] = (
    _flip, _remove, _insert, _number, _number, _lines, _lines, _cut, _line_ends, _wide,
)  # fmt: skip


@dataclass
class Tally:
    """What became of the inputs."""

    tried: int = 0
    read: int = 0
    refused: int = 0
    faults: int = 0


def fault_of(path: Path, parser: str) -> str | None:
    """Read a file; return None if that worked, '' if it was refused as it should be, else what is wrong."""
    try:
        trace = read_csv(path) if parser == "csv" else read_any(path)
        trace.counts()
    except PbaError as error:
        message = str(error)
        if "\n" in message or not message.isprintable():
            return f"a message that is not one line of text: {message!r}"
        if str(path) not in message or not error.hint:
            return f"a message that names no file or says not what to do: {message!r}"
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def fuzz(parser: str, seed: int, out: Path, *, seconds: float = 1e9, inputs: int = 1 << 62) -> Tally:
    """Try mutated inputs until the time or their number is up, or one in ten faults is kept."""
    rng = random.Random(f"{parser} {seed}")
    pool = samples(parser)
    if parser != "parquet":
        pool += [IMPORTERS[name].write() for name in ("ftrace", "text", "csv") if name != parser][:1]
    out.mkdir(parents=True, exist_ok=True)
    current = out / f"current-{parser}"  # of its own, for runs side by side
    tally = Tally()
    start = time.monotonic()
    while tally.tried < inputs and time.monotonic() - start < seconds and tally.faults < 10:
        current.write_bytes(mutate(rng, pool))
        found = fault_of(current, parser)
        tally.tried += 1
        tally.read += found is None
        tally.refused += found == ""
        if found:
            tally.faults += 1
            kept = out / f"fault-{parser}-{seed}-{tally.tried}"
            current.rename(kept)
            print(f"{kept}: {found}", file=sys.stderr, flush=True)
    current.unlink(missing_ok=True)
    return tally


def main() -> int:
    """Run from the command line; exit status 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="tests.imports.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parser", choices=[*IMPORTERS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60, help="for each parser (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"), metavar="FOLDER")
    given = parser.parse_args()
    faults = 0
    for name in IMPORTERS if given.parser == "all" else [given.parser]:
        tally = fuzz(name, given.seed, given.out, seconds=given.seconds)
        faults += tally.faults
        print(
            f"{name}, seed {given.seed}, {given.seconds:g} s: {tally.tried} inputs, {tally.read} read, "
            f"{tally.refused} refused, {tally.faults} faults",
            flush=True,
        )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
