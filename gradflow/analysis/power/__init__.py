"""`gradflow power`: eigenvalues and powers of one matrix."""
