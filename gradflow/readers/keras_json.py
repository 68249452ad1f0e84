"""A list of layers of Keras in JSON, as RTNeural writes and runs it.

``{"in_shape": [null, 1], "layers": [{"type": "lstm", "activation": "tanh", "weights": [[[…`` holds for each
layer what Keras's ``get_weights()`` returns. RTNeural feeds every layer the output of the one before, and its
recurrent layers have the gates of Keras: the sigmoid, and a reset gate after the product
(https://github.com/jatinchowdhury18/RTNeural, python/model_utils.py). Its convolutions see no later step.
"""

from typing import Any

from gradflow.readers.messages import quote

# RTNeural's type of a layer → the class of Keras, and the names of its arrays.
_LAYER_TYPES = {
    "lstm": ("LSTM", ("kernel", "recurrent_kernel", "bias")),
    "gru": ("GRU", ("kernel", "recurrent_kernel", "bias")),
    "dense": ("Dense", ("kernel", "bias")),
    "time-distributed-dense": ("Dense", ("kernel", "bias")),
    "conv1d": ("Conv1D", ("kernel", "bias")),
    "conv2d": ("Conv2D", ("kernel", "bias")),
    "prelu": ("PReLU", ("alpha",)),
    "batchnorm": ("BatchNormalization", ("gamma", "beta", "moving_mean", "moving_variance")),
    "batchnorm2d": ("BatchNormalization", ("gamma", "beta", "moving_mean", "moving_variance")),
    "activation": ("Activation", ()),
}
_RECURRENT_TYPES = ("lstm", "gru")
_BATCHNORM_TYPES = ("batchnorm", "batchnorm2d")
# RTNeural writes a batchnorm without ``affine`` as the mean and the variance alone.
_PLAIN_BATCHNORM_NAMES = ("moving_mean", "moving_variance")
# What a layer may state besides its weights. ``kernel_size`` repeats the shape of the kernel.
_KNOWN_OPTIONS = {"name", "type", "activation", "shape", "weights"}
_TYPE_OPTIONS = {"batchnorm": {"epsilon"}, "conv1d": {"kernel_size", "dilation", "groups"}}


def is_layer_list(document: object) -> bool:
    """Return whether a JSON document is a list of layers with their types and weights.

    Examples
    --------
    >>> is_layer_list({"in_shape": [1], "layers": [{"type": "dense", "weights": [[[0.5]], [0.0]]}]})
    True
    """
    layers = _get_layers(document)
    return (
        isinstance(layers, list)
        and bool(layers)
        and all(
            isinstance(layer, dict)
            and isinstance(layer.get("type"), str)
            and isinstance(layer.get("weights", []), list)
            for layer in layers
        )
        and any(layer.get("weights") for layer in layers)
    )


def list_named_weights(document: Any) -> dict[str, list[Any]]:
    """Return the weights of all layers by the names of Keras, such as ``lstm/kernel``, ``lstm_1/kernel``.

    Examples
    --------
    >>> list_named_weights({"layers": [{"type": "dense", "weights": [[[0.5]], [0.0]]}]})
    {'dense/kernel': [[0.5]], 'dense/bias': [0.0]}
    """
    named = {}
    for name, layer in zip(_name_layers(document), _get_layers(document), strict=True):
        weights = _list_weights(layer)
        _, arrays = _LAYER_TYPES.get(layer["type"], ("", ()))
        if _is_plain_batchnorm(layer):
            arrays = _PLAIN_BATCHNORM_NAMES
        for place, array in enumerate(weights):
            own = arrays[place] if place < len(arrays) else f"weights_{place}"
            named[f"{name}/{own}"] = array
    return named


def build_configuration(document: Any) -> dict[str, Any]:
    """Return the configuration that Keras itself would write for such a model.

    A layer of an unknown type, or with an option that is not known, gets a class that Keras does not have, so
    that nothing is computed through it.

    Examples
    --------
    >>> layer = {"type": "batchnorm", "epsilon": 0.01, "weights": [[1.0], [0.0], [0.5], [2.0]]}
    >>> build_configuration([layer])["config"]["layers"][0]["config"]["epsilon"]
    0.01
    """
    layers = []
    for name, layer in zip(_name_layers(document), _get_layers(document), strict=True):
        config: dict[str, Any] = {"name": name, "activation": layer.get("activation") or "linear"}
        if layer["type"] in _RECURRENT_TYPES:
            config |= {
                "activation": layer.get("activation") or "tanh",
                "recurrent_activation": "sigmoid",
                "reset_after": True,
                "return_sequences": True,
            }
        elif layer["type"] in _BATCHNORM_TYPES:
            has_scale = not _is_plain_batchnorm(layer)
            config |= {"epsilon": layer.get("epsilon"), "scale": has_scale, "center": has_scale}
        elif layer["type"] == "conv1d":
            config |= {
                "padding": "causal",
                "dilation_rate": _restore_integers(layer.get("dilation")),
                "groups": _restore_integers(layer.get("groups", 1)),
            }
        layers.append({"class_name": _name_class(layer), "config": config})
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}


def _name_class(layer: dict[str, Any]) -> str:
    """Return the class of Keras, or a text that says why there is none."""
    kind = layer["type"]
    if kind not in _LAYER_TYPES:
        return f"type {quote(kind)} of RTNeural"
    unknown = sorted(layer.keys() - _KNOWN_OPTIONS - _TYPE_OPTIONS.get(kind, set()))
    if unknown and kind not in _RECURRENT_TYPES:
        return f"{kind} with the unknown option {quote(unknown[0])}"
    return _LAYER_TYPES[kind][0]


def _list_weights(layer: dict[str, Any]) -> list[list[Any]]:
    return [array for array in layer.get("weights", []) if isinstance(array, list) and array]


def _is_plain_batchnorm(layer: dict[str, Any]) -> bool:
    count = len(_PLAIN_BATCHNORM_NAMES)
    return layer["type"] in _BATCHNORM_TYPES and len(_list_weights(layer)) == count


def _restore_integers(option: Any) -> Any:
    """Return an option whose whole numbers are integers again: JSON is read with floats alone."""
    if isinstance(option, list):
        return [_restore_integers(entry) for entry in option]
    return int(option) if isinstance(option, float) and option.is_integer() else option


def _get_layers(document: Any) -> Any:
    """Return what should be a list of layers: the document itself, or what it calls so."""
    return document.get("layers") if isinstance(document, dict) else document


def _name_layers(document: Any) -> list[str]:
    """Return a name for each layer: its type, and a number from the second of the type on."""
    counts: dict[str, int] = {}
    names = []
    for layer in _get_layers(document):
        kind = layer["type"].replace("-", "_")
        count = counts.get(kind, 0)
        names.append(f"{kind}_{count}" if count else kind)
        counts[kind] = count + 1
    return names
