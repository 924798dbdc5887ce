"""A controller that only launches or adopts one child, says so in JSON, and waits to be killed.

python -m tests.fakes.launcher launch HOME NAME ADOPT_GRACE PROGRAM [ARGUMENT]
python -m tests.fakes.launcher adopt HOME NAME
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from controller.errors import SpawnFailed, Unreachable
from controller.supervision.child import Child, adopt, launch
from tests.kit.children import unruly_spec


async def hold(child: Child | None) -> None:
    facts = child and {"pid": child.pid, "keeper_pid": child.keeper_pid, "note": child.note, "adopted": child.adopted}
    print(json.dumps(facts), flush=True)
    if child is not None:
        print((await child.wait()).words, flush=True)


async def main(verb: str, home: str, name: str, adopt_grace: str = "0", *program: str) -> None:
    print("up", flush=True)
    try:
        if verb == "adopt":
            await hold(await adopt(name, Path(home)))
        else:
            spec = unruly_spec(name, Path(home).parent, *program)
            await hold(await launch(spec, Path(home), note={"port": 4711}, adopt_grace=float(adopt_grace)))
    except (SpawnFailed, Unreachable) as error:
        print(error, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
