"""`gradflow lyapunov`: Lyapunov exponents of a network or a stack of Jacobians."""
