"""The command line. A command is a signature and a call of the public API; it never computes or prints.

A new command is one new file and one line in `COMMANDS`.
"""

from gradflow.registry import Registry

COMMANDS: Registry = {
    "power": "gradflow.cli.power:power",
    "compare": "gradflow.cli.compare:compare",
    "bptt": "gradflow.cli.bptt:bptt",
    "lyapunov": "gradflow.cli.lyapunov:lyapunov",
    "theory": "gradflow.cli.theory:theory",
    "init": "gradflow.cli.init:init",
    "inspect": "gradflow.cli.inspect:inspect",
    "convert": "gradflow.cli.convert:convert",
    "derive": "gradflow.cli.derive:derive",
}
