"""What a recording says of its machine: what a replay needs, nothing that names a person or a program."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any, Final

from pba.trace.metadata import Metadata

SOURCE: Final = "tracefs"


def describe_machine() -> Metadata:
    """Return what is known of this machine before the recording; nothing that names a person or a program."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    zones = Path("/proc/zoneinfo").read_text()
    present = sum(int(line.split()[1]) for line in zones.splitlines() if line.split()[:1] == ["present"])
    return Metadata(
        source=SOURCE,
        kernel=upstream_release(platform.release()),
        architecture=platform.machine(),
        page_size_kib=page_bytes // 1024,
        memory_pages=present,
        buddyinfo=parse_buddyinfo(Path("/proc/buddyinfo").read_text()),
    )


def upstream_release(release: str) -> str:
    """Return a kernel's release without what its builder added: `6.12.107` for `6.12.107+deb13-arm64-16k`.

    The rest says who built it and where, which is nothing that a trace should tell.
    """
    found = re.match(r"\d+(\.\d+)*(-rc\d+)?", release)
    return found.group() if found else ""


def parse_buddyinfo(text: str) -> tuple[dict[str, Any], ...]:
    """Read the text of `/proc/buddyinfo`: free chunks by order, for each zone."""
    zones = []
    for line in text.splitlines():
        place, _, rest = line.partition(", zone")
        name, *free = rest.split()
        zones.append({"node": int(place.split()[1]), "zone": name, "free": [int(count) for count in free]})
    return tuple(zones)
