"""`gradflow init`: initial weights with which a gradient arrives."""
