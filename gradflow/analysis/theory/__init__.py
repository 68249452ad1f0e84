"""`gradflow theory`: exponents that theory predicts, beside measured ones."""
