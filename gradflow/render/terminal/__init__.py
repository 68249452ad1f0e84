"""Charts drawn with letters in the terminal."""
