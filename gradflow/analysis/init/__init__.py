"""`gradflow init`: initial weights with which a gradient is left after N steps."""
