"""Who goes first where threads of the worker share a core: the event loop, then those that call it; used by `server`.

The transport's threads would interrupt the loop at each event that they have for it, some three times a call. A little
nicer, they let it finish what it does, and bring it more at once.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

# The more the faster, but at several times the load they must still find time to refuse: docs/decisions/0024.
NICER_BY = 7
_NICEST = 19


def let_this_thread_go_first() -> None:
    """Make all other threads of the process nicer, and with them those that they start; there is no way back.

    Niceness is heeded among the threads of a pod and says nothing to other pods. Linux alone has it by thread.
    """
    this = threading.get_native_id()
    niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + NICER_BY, _NICEST)
    with suppress(FileNotFoundError):
        for task in Path("/proc/self/task").iterdir():
            if int(task.name) != this:
                # It may have ended, or a sandbox may forbid it: then all is as it was, only slower.
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)
