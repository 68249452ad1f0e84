"""What the names of activations mean in each version of Keras, and the defaults of each version.

Keras 2.3 and tf.keras of TensorFlow 2 changed the gates from hard_sigmoid to sigmoid, TensorFlow 2 changed
``reset_after`` of a GRU to True, and Keras 3 changed hard_sigmoid from 0.2x + 0.5 to x/6 + 0.5.
"""

import re
from collections.abc import Mapping
from typing import Any

from gradflow.errors import DataError
from gradflow.readers.messages import quote

# Keras's name → gradflow's name. Other activations are refused.
KERAS_ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "linear": "identity",
    "softsign": "softsign",
    "softplus": "softplus",
    "elu": "elu(1)",
    "leaky_relu": "leaky_relu(0.2)",
    "hard_sigmoid": f"hard_sigmoid({1 / 6!r},0.5)",
    "selu": "selu",
    "celu": "celu(1)",
    "gelu": "gelu",
    "swish": "silu",
    "silu": "silu",
    "mish": "mish",
    "exponential": "exponential",
    "log_sigmoid": "log_sigmoid",
    "hard_tanh": "clip(-1,1)",
    "relu6": "clip(0,6)",
    "hard_swish": "hard_silu",
    "hard_silu": "hard_silu",
    "tanh_shrink": "tanh_shrink",
    "hard_shrink": "shrink(0.5,0)",
    "soft_shrink": "shrink(0.5,0.5)",
    "squareplus": "squareplus(4)",
    "sparse_plus": "sparse_plus",
    "sparse_sigmoid": "hard_sigmoid(0.5,0.5)",
}
_OLD_HARD_SIGMOID = "hard_sigmoid(0.2,0.5)"
# They read all units at once.
_JOINT_ACTIVATIONS = ("softmax", "log_softmax", "sparsemax", "glu")
# The first versions with sigmoid gates and with reset_after; tf.keras of TensorFlow 2 starts at 2.2.4-tf.
_SIGMOID_GATES_VERSION, _RESET_AFTER_VERSION = (2, 3), (2, 4)
_TENSORFLOW_2_VERSION = (2, 2)
_TENSORFLOW_SUFFIX = "-tf"


def read_version(version: str) -> tuple[int, int] | None:
    """Return the major and minor number of a version of Keras, or None if it has none.

    Examples
    --------
    >>> read_version("2.2.4-tf"), read_version("1"), read_version("")
    ((2, 2), (1, 0), None)
    """
    match = re.match(r"(\d{1,4})(?:\.(\d{1,4}))?", version)
    return None if match is None else (int(match[1]), int(match[2] or 0))


def list_activations(version: str) -> dict[str, str]:
    """Return gradflow's names of the activations that a version of Keras knows, by Keras's names."""
    numbers = read_version(version)
    is_old = numbers is not None and numbers < (3, 0)
    return KERAS_ACTIVATIONS | ({"hard_sigmoid": _OLD_HARD_SIGMOID} if is_old else {})


def choose_default_gates(version: str) -> str:
    """Return the activation of gates that a version of Keras takes if the user names none."""
    numbers = read_version(version)
    first = _TENSORFLOW_2_VERSION if version.endswith(_TENSORFLOW_SUFFIX) else _SIGMOID_GATES_VERSION
    return "sigmoid" if numbers is None or numbers >= first else _OLD_HARD_SIGMOID


def choose_default_reset(version: str) -> str:
    """Return whether the reset gate of a GRU stands before or after the product by default."""
    numbers = read_version(version)
    first = _TENSORFLOW_2_VERSION if version.endswith(_TENSORFLOW_SUFFIX) else _RESET_AFTER_VERSION
    return "after" if numbers is None or numbers >= first else "before"


def is_ambiguous_version(version: str) -> bool:
    """Return whether TensorFlow 1 and TensorFlow 2, whose defaults differ, may both have written it."""
    return version.endswith(_TENSORFLOW_SUFFIX)


def name_activation(stated: Any, version: str, owner: str, option: str = "activation") -> str:
    """Return gradflow's name of an activation that a configuration states.

    Parameters
    ----------
    stated : str or mapping
        A name; or in Keras 3 a serialized function or layer.
    version : str
        The version of Keras.
    owner, option : str
        The layer and its option, for messages.

    Raises
    ------
    DataError
        If it is no elementwise function that is known.

    Examples
    --------
    >>> name_activation("hard_sigmoid", "2.2.4", "layer 'a'")
    'hard_sigmoid(0.2,0.5)'
    >>> name_activation({"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}, "3.5", "layer 'a'")
    'leaky_relu(0.1)'
    """
    if isinstance(stated, Mapping):
        config = stated.get("config")
        if isinstance(config, Mapping):
            return name_layer_activation(str(stated.get("class_name")), config, owner)
        stated = config
    activations = list_activations(version)
    if isinstance(stated, str) and stated in _JOINT_ACTIVATIONS:
        raise DataError(
            f"{option} {quote(stated)} of {owner} is not elementwise; expected an elementwise function"
        )
    if not isinstance(stated, str) or stated not in activations:
        raise DataError(
            f"{option} {quote(str(stated))} of {owner} is not known; expected one of {', '.join(activations)}"
        )
    return activations[stated]


def name_layer_activation(class_name: str, config: Mapping[str, Any], owner: str) -> str:
    """Return gradflow's name of the function of a layer such as LeakyReLU.

    Raises
    ------
    DataError
        If it is another layer, or if its options have no name.
    """
    slope = _get_number(config, ("negative_slope", "alpha"), 0.3, owner)
    if class_name == "LeakyReLU":
        return f"leaky_relu({slope!r})"
    if class_name == "ELU":
        return f"elu({_get_number(config, ('alpha',), 1.0, owner)!r})"
    if class_name == "ThresholdedReLU":
        return f"thresholded_relu({_get_number(config, ('theta',), 1.0, owner)!r})"
    if class_name == "ReLU":
        highest = _get_number(config, ("max_value",), None, owner)
        slope = _get_number(config, ("negative_slope",), 0.0, owner)
        threshold = _get_number(config, ("threshold",), 0.0, owner)
        if highest is None and not threshold:
            return f"leaky_relu({slope!r})" if slope else "relu"
        if highest is None and not slope:
            return f"thresholded_relu({threshold!r})"
        if highest is not None and not slope and not threshold:
            return f"clip(0,{highest!r})"
    raise DataError(
        f"activation {quote(class_name)} of {owner} is not known with its options; expected a name of Keras"
    )


def _get_number(
    config: Mapping[str, Any], names: tuple[str, ...], default: float | None, owner: str
) -> float | None:
    """Return the first of the options that the configuration has, as a number."""
    value = next((config[name] for name in names if config.get(name) is not None), default)
    if isinstance(value, Mapping):  # numpy's numbers, as Keras 2 writes them
        value = value.get("value")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{owner}: {names[0]} is {quote(str(value))}; expected a number")
    return float(value)
