"""Text formats, and the grids and chapters that those for people share."""
