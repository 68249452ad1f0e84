"""The command line. A command is a signature and a call of the public API; it never computes or prints.

A new command is one new file and one line in `COMMANDS`.
"""

from gradflow.registry import Registry

# In the order of the help: first what most people need, then what goes deeper.
COMMANDS: Registry = {
    "compare": "gradflow.cli.compare:compare",
    "inspect": "gradflow.cli.inspect:inspect",
    "init": "gradflow.cli.init:init",
    "bptt": "gradflow.cli.bptt:bptt",
    "power": "gradflow.cli.power:power",
    "lyapunov": "gradflow.cli.lyapunov:lyapunov",
    "theory": "gradflow.cli.theory:theory",
    "convert": "gradflow.cli.convert:convert",
    "run": "gradflow.cli.run:run",
    "derive": "gradflow.cli.derive:derive",
}
