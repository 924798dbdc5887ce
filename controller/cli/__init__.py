"""`seadragon`: the command line. Thin: each command asks the running controller, or calls the part that does the work.

What a command needs is imported inside it: `status` answers in the time Python takes to start, and `up` listens soon.
Exit codes: 0 done; 1 it failed, or the doctor found something broken; 2 a wrong command line or broken YAML; 3 nobody
runs here.
"""

from controller.cli import copies, line, looking, ordering, rights, running, setting_up, tunnelling
from controller.cli.group import main

ordering.add_commands({"models": line.models, **rights.GROUPS})

__all__ = ["copies", "line", "looking", "main", "rights", "running", "setting_up", "tunnelling"]
