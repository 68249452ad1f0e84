"""What a shell needs to complete ``gradflow``, as the program itself prints it."""

import os
import subprocess
import sys

FILES = {"bash": "gradflow.bash", "zsh": "_gradflow", "fish": "gradflow.fish"}

# zsh loads the file when completion is first asked for; without this the first Tab would find nothing.
FIRST_TAB = '[[ $zsh_eval_context[-1] == loadautofunc ]] && _gradflow_completion "$@"\n'


def completions() -> dict[str, str]:
    """Return the text of each shell's file, by the file's name."""
    return {name: _script(shell) + (FIRST_TAB if shell == "zsh" else "") for shell, name in FILES.items()}


def _script(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gradflow"],
        env=os.environ | {"_GRADFLOW_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() + "\n"
