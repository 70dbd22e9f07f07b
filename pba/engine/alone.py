"""A replay of a compiled trace with one set of thresholds."""

from __future__ import annotations

import numpy as np

from pba._jit import engine_entry
from pba.engine.members import DEFERRED
from pba.engine.quiet import skip_quiet
from pba.engine.run import end_pass, to_pass
from pba.events import OP_DROP
from pba.kernel.reclaim import do_shrink_slab, drop_slab
from pba.kernel.state import NR_DEFERRED, NR_EVENTS


@engine_entry
def run_alone(run, tunables, members):
    """Run one set of thresholds from boot to the trace's end.

    Parameters
    ----------
    members : ndarray of int64, shape (1, MEMBER_FIELDS)
        The same thresholds as a member, for the passes that take nothing.
    """
    while True:
        members[0, DEFERRED] = run.state.vars[NR_DEFERRED]
        skip_quiet(run, members, (np.int64(0), np.int64(1)))
        run.state.vars[NR_DEFERRED] = members[0, DEFERRED]
        event = to_pass(run)
        if event < 0:
            break
        if run.events.op[event] == OP_DROP:
            drop_slab(run.state, tunables)
        else:
            do_shrink_slab(run.state, tunables, np.int64(run.events.arg[event]))
        end_pass(run)
    run.state.vars[NR_EVENTS] = len(run.events.op)
