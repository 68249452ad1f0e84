"""`gradflow inspect`: what a trained checkpoint does to gradients."""
