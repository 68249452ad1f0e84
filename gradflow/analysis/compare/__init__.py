"""`gradflow compare`: gradient norms by lag, cell beside cell."""
