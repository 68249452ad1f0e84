"""One file per question, each with its own record type."""
