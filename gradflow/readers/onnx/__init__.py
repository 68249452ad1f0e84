"""ONNX: `onnx` lists the arrays of a model, from its scopes, constants, nodes and elementary layers."""
