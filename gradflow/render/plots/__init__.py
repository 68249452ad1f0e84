"""What there is to draw of a record, and matplotlib figures of it."""
