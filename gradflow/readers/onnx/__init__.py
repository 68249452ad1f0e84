"""ONNX: `onnx` lists the arrays, `scopes` the graphs, `constants` the tensors; `folding` computes weights."""
