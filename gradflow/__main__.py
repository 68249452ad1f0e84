"""``python -m gradflow``."""

from gradflow.cli.main import main

main()
