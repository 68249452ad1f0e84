"""torch checkpoints: `torch` reads the archive, `pickle` its description of tensors, `unpickler` opcodes."""
