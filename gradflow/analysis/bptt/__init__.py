"""`gradflow bptt`: a gradient by the lag that its parts come from."""
