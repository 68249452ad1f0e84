"""ONNX: `onnx` lists the arrays of a model, from its scopes, constants, recurrent nodes and elementary layers."""
