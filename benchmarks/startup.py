"""Wall time of whole commands against ``python -c "import numpy"``: ``python benchmarks/startup.py``."""

import sys
from pathlib import Path

from timing import medians, process, report

import gradflow

ROUNDS = 41
GOALS = {"--version": 0.8, "completion": 0.8, "--help": 1.6, "power, 10×10 table": 2.0}


def main() -> None:
    program = str(Path(sys.executable).with_name("gradflow"))
    matrix = "; ".join(" ".join(map(repr, row)) for row in gradflow.random_matrix("ginibre", 10).tolist())
    completion = {"_GRADFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "gradflow po", "COMP_CWORD": "1"}
    measured = medians(
        {
            "import numpy": process([sys.executable, "-c", "import numpy"]),
            "--version": process([program, "--version"]),
            "completion": process([program], **completion),
            "--help": process([program, "--help"]),
            "power, 10×10 table": process([program, "power", "-m", matrix]),
        },
        ROUNDS,
    )
    report(measured, "import numpy", GOALS)


if __name__ == "__main__":
    main()
