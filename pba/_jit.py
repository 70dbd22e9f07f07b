"""The one place with compile options and the cache directory.

**What is cached.** Numba's file cache notices a change of the function's own file only, not of a callee in
another file, and not of options such as bounds checking. So the cache directory's name holds a hash of the
sources that a room's jitted functions can reach and of everything else that shapes the code; a stale entry
cannot be found. Each file of the cache ends with its own checksum: a damaged one would crash the process.

**What compiling costs.** Numba optimises each function on its own, with all that it calls, then again inside
its callers. To do so once, inside the entries alone (`_InnerCompiler`), halves the time to compile; replays
event by event are as fast, replays of compiled traces with many passes take a third longer. So commands that
replay event by event start like this (`start_quickly`) as long as the other code is not there, and the two
kinds lie in folders of their own. Results are the same.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, Final, TypeVar

from pba import caches
from pba.errors import PbaError
from pba.progress import NotebookLine, in_notebook, say_through_line

_HINT: Final = "unset the environment variables NUMBA_*, or mend them"
try:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Environment variable 'NUMBA_")
        import llvmlite
        import numba
        import numpy as np
        from numba import config
        from numba.core import event
        from numba.core.caching import FunctionCache, IndexDataCacheFile
        from numba.core.codegen import JITCodeLibrary
        from numba.core.compiler import Compiler
except (ValueError, RuntimeError, Warning) as error:
    _said = [line for line in str(error).splitlines() if line.strip()]
    raise PbaError(f"Numba does not start: {_said[-1] if _said else error!r}", _HINT) from None

F = TypeVar("F", bound=Callable[..., Any])

CHECKSUM_BYTES: Final = 32
QUICK_VARIABLE: Final = "PBA_QUICK_START"
"""Set to 1, inner functions are optimised inside the entries alone, whatever is compiled: for tests."""
_quick = os.environ.get(QUICK_VARIABLE) == "1"
_QUICK_ROOMS: Final = frozenset({"kernel", "policies", "engine"})
"""Rooms whose code differs where it is compiled for a short start."""
_SLOW: Final = {
    "kernel": "the simulated kernel",
    "policies": "the policy",
    "engine": "the engine of compiled traces",
    "imports": "the readers of recorded text",
    "generators": "the generators of traces",
}
"""Rooms that take a second or more to compile, and what they are called."""


def say(text: str) -> NotebookLine | None:
    """Tell the user a line on standard error, above the live line if there is one; return a notebook's own.

    Nothing if `PBA_QUIET` is set.
    """
    if os.environ.get("PBA_QUIET") or say_through_line(f"pba: {text}"):
        return None
    if in_notebook():
        line = NotebookLine()
        line.stage(f"pba: {text}")
        return line
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"pba: {text}", file=sys.stderr, flush=True)
    return None


class _Announcer(event.Listener):  # type: ignore[misc]
    """Says, once a room and process, that something is compiled: at its first function that is not cached.

    Python's garbage collector rests meanwhile: to look through Numba's trees took a sixth of the time.
    """

    def __init__(self) -> None:
        self._waiting = dict(_SLOW)
        self._depth, self._collecting = 0, False
        self._line: NotebookLine | None = None

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            self._collecting = gc.isenabled()
            gc.disable()
        self._depth += 1  # under Numba's lock on compiling
        module = str(event.data["dispatcher"].py_func.__module__).split(".")
        what = self._waiting.pop(module[1], None) if module[0] == "pba" and len(module) > 1 else None
        if what is not None:
            self._line = say(f"compiling {what}, once per installation ...") or self._line

    def on_end(self, event: Any) -> None:
        """Let garbage be collected again after the outermost function, and take away a notebook's line."""
        self._depth -= 1
        if self._depth == 0 and self._line is not None:
            self._line.end()
            self._line = None
        if self._depth == 0 and self._collecting:
            gc.enable()


event.register("numba:compile", _Announcer())


def start_quickly() -> None:
    """Compile the kernel for a short start, unless it is compiled for fast replays, or imported already."""
    global _quick
    if "pba.kernel" not in sys.modules and not is_compiled("kernel"):
        cache_dir.cache_clear()
        _quick = True


def starts_quickly() -> bool:
    """Whether the kernel is compiled for a short start here; `QUICK_VARIABLE` has another process do so."""
    return _quick


def _fingerprint(room: str, quick: bool) -> str:
    """Return a hash of the sources behind a room's compiled code and of what else shapes it."""
    digest = caches.hash_of_sources([Path(__file__), *caches.sources_behind(room)])
    for part in (
        numba.__version__, llvmlite.__version__, np.__version__, platform.python_version(),
        platform.machine(), str(bool(config.BOUNDSCHECK)), str(config.OPT), str(quick),
    ):  # fmt: skip
        digest.update(part.encode() + b"\0")
    return str(digest.hexdigest()[:16])


def current_folders() -> set[str]:
    """Return the names of the cache's folders that this pba, with this Numba and so on, would use."""
    rooms = (path.name for path in caches.PACKAGE.iterdir() if path.is_dir())
    known = [room for room in rooms if caches.sources_behind(room)]
    return {
        f"{room}-{_fingerprint(room, quick)}"
        for room in known
        for quick in ((False, True) if room in _QUICK_ROOMS else (False,))
    }


@cache
def cache_dir(room: str) -> Path:
    """Return where the compiled code of a room (`kernel`, `trace`) is cached; the folder exists.

    Falls back on a folder of this process's own, removed at its end, if the cache cannot be written, or is
    not the user's alone (`pba.caches`).
    """
    try:
        return caches.trusted_folder(f"{room}-{_fingerprint(room, _quick and room in _QUICK_ROOMS)}")
    except caches.UntrustedCacheError as error:
        return _own_folder(str(error))


def is_compiled(room: str) -> bool:
    """Whether code of a room lies in the cache, so that a first call need not compile (most of) it."""
    return any(cache_dir(room).rglob("*.nbi"))


def is_kept(room: str) -> bool:
    """Return whether code of a room that is compiled here is there for other processes, too."""
    return not config.DISABLE_JIT and cache_dir(room).parent == caches.cache_root()


@cache
def _own_folder(reason: str) -> Path:
    """Return a folder of this process's own, and say why, once."""
    say(f"compiled code is not kept, so each start takes longer: {reason} (or set PBA_CACHE_DIR)")
    own = Path(tempfile.mkdtemp(prefix="pba-jit-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


class _CheckedFile(IndexDataCacheFile):  # type: ignore[misc]
    """The files of a function's cache, each with the SHA-256 of what stands before it as its last bytes.

    Numba trusts them: of damaged machine code every tenth byte ended in a crash. Unpickling stops before the
    checksum, so Numba reads the files as they are.
    """

    def _load_index(self) -> dict[Any, Any]:
        return super()._load_index() if _is_sound(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        if not _is_sound(self._data_path(name)):
            raise FileNotFoundError(name)  # Numba then compiles anew
        return super()._load_data(name)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[_Summed]:
        with super()._open_for_write(filepath) as file:
            summed = _Summed(file)
            yield summed
            file.write(summed.digest.digest())


class _Summed:
    """A file that is written to, and the hash of all that was."""

    def __init__(self, file: Any) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        """Write bytes."""
        self.digest.update(data)
        return int(self._file.write(data))


def _is_sound(path: str) -> bool:
    """Whether a file of the cache is there and is what was written; one that is not is removed."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return False
    sound = hashlib.sha256(data[:-CHECKSUM_BYTES]).digest() == data[-CHECKSUM_BYTES:]
    if not sound:
        with suppress(OSError):
            Path(path).unlink()
    return sound


class _CheckedCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, in checked files. To lose the folder while it is used loses no result."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        plain: Any = self._cache_file  # type: ignore[has-type]
        self._cache_file = _CheckedFile(self._cache_path, self._impl.filename_base, plain._source_stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save what was compiled, if the disk takes it."""
        with suppress(OSError):
            super().save_overload(sig, data)


class _InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code that is only linked into other libraries: neither optimised here nor made machine code of."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _InnerCompiler(Compiler):  # type: ignore[misc]
    """Compiles a function that only other jitted functions call.

    Numba finds a compiled function by its way in from Python, which this has not: a builtin that equals no
    other stands for it.
    """

    def compile_extra(self, func: Any) -> Any:
        """Compile; see `numba.core.compiler.CompilerBase`."""
        self.state.flags.no_compile = True
        self.state.library = _InnerLibrary(self.state.targetctx.codegen(), func.__qualname__)
        result = super().compile_extra(func)._replace(entry_point=[].append)
        self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        return result


def _inner() -> dict[str, Any]:
    """Return the options of a function that Python never calls."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return options | {"pipeline_class": _InnerCompiler} if _quick else options


def _room_of(function: Callable[..., Any]) -> str:
    """Return the room of `pba` that a function lives in."""
    return function.__module__.split(".")[1]


_makers: Final[dict[Any, Callable[[Any], Any]]] = {}
"""What compiled each function of the simulated kernel: one of the three below."""


def jit(function: F) -> F:
    """Compile with Numba: cached on disk, without the GIL, without Python's checks.

    With `NUMBA_DISABLE_JIT=1` the function is returned as it is; with `NUMBA_BOUNDSCHECK=1` an index out
    of bounds raises.
    """
    return _entry(function)


def kernel_entry(function: F) -> F:
    """Compile a function of the simulated kernel that Python calls: as `jit`, without reference counts.

    The player of generated traces is compiled like this too. Such a function cannot make arrays; it works on
    those that it is given. To count references to each array at each call made a replay ten times slower.
    """
    _makers[function] = kernel_entry
    return _entry(function, _nrt=False)


def engine_entry(function: F) -> F:
    """Compile a function of the engine that Python calls: as `kernel_entry`."""
    return _entry(function, _nrt=False)


def kernel_function(function: F) -> F:
    """Compile a function that only other functions of the kernel call: no way in from Python, no cache.

    It lives inside the entries' compiled code.
    """
    _makers[function] = kernel_function
    return _compile(function, _nrt=False, **_inner())


def kernel_inline(function: F) -> F:
    """Compile as `kernel_function`, into every caller.

    For what runs once a page or an event: to pass the state's arrays to a call costs more than these do.
    """
    _makers[function] = kernel_inline
    return _compile(function, _nrt=False, forceinline=True, **_inner())


def rebound(entry: F, replaced: Mapping[Any, Any], module: str) -> F:
    """Return a function of the simulated kernel that calls other functions in place of some.

    So a policy is what it does otherwise, and the rest of the kernel stands once. Copied and compiled anew are
    the functions between the entry and what is replaced; the entry itself and all that it shares with others
    stay as they are.

    Parameters
    ----------
    entry : jitted function
        Where to begin; what it calls is followed to the end, into what is put in place, too.
    replaced : mapping of jitted function to jitted function
        What stands in for what. A function may not call what it stands in for.
    module : str
        The policy's module: the copies are its functions, and have its name in theirs.
    """
    plain = {_plain(function): other for function, other in replaced.items()}
    known: dict[Any, Any] = {}

    def copy(function: Any) -> Any:
        original = _plain(function)
        if original not in known:
            known[original] = copy(plain[original]) if original in plain else _with(original, function)
        return known[original]

    def _with(original: Any, function: Any) -> Any:
        calls = {name: original.__globals__.get(name) for name in original.__code__.co_names}
        jitted = {name: called for name, called in calls.items() if _is_known(called)}
        changed = {name: new for name, called in jitted.items() if (new := copy(called)) is not called}
        return _twin(original, changed, module) if changed else function

    return copy(entry)  # type: ignore[no-any-return]


def _plain(function: Any) -> Any:
    """Return the Python function behind a compiled one."""
    return getattr(function, "py_func", function)


def _is_known(called: Any) -> bool:
    """Whether something that a function names is a function of the simulated kernel."""
    return callable(called) and isinstance(_plain(called), FunctionType) and _plain(called) in _makers


def _twin(original: Any, changed: dict[str, Any], module: str) -> Any:
    """Return a copy of a function with some of its globals changed, compiled in its way."""
    twin = FunctionType(
        original.__code__, original.__globals__ | changed, original.__name__, original.__defaults__
    )
    twin.__module__, twin.__doc__ = module, original.__doc__
    # Numba's cache tells functions of one file apart by this name and their line.
    twin.__qualname__ = f"{original.__qualname__}.{module.rpartition('.')[2]}"
    return _makers[original](twin)


def _entry(function: F, **options: Any) -> F:
    """Compile a function that Python calls, cached on disk in its room's folder."""
    compiled: Any = _compile(function, no_cfunc_wrapper=True, **options)
    if hasattr(compiled, "py_func"):  # not with NUMBA_DISABLE_JIT
        before = config.CACHE_DIR
        # While Numba looks for the place, and only then.
        config.CACHE_DIR = str(cache_dir(_room_of(function)))
        try:
            compiled._cache = _CheckedCache(compiled.py_func)
        finally:
            config.CACHE_DIR = before
    return compiled  # type: ignore[no-any-return]


def _compile(function: F, **options: Any) -> F:
    """Decorate with the common options and these."""
    return numba.njit(nogil=True, error_model="numpy", **options)(function)  # type: ignore[no-any-return]
