"""`gradflow derive`: the answers of the exercise sheet, every line verified."""
