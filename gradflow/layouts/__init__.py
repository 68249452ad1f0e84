"""Named arrays → networks of cells: one file per framework, as each has its own names and order of gates.

A layout is a module with ``find_networks(arrays, assumptions)``. By names and shapes it tells which arrays
form a recurrent network under its framework's names, and how to make cells of them.
"""

from typing import NamedTuple

from gradflow.registry import Registry


class LayoutSigns(NamedTuple):
    """The signs by which arrays may belong to a layout; a layout without a sign is not even loaded.

    Attributes
    ----------
    name_parts : tuple of str
        The name of an array of a recurrent layer contains one of these.
    metadata_key : str
        If arrays have this key in their metadata, then the file itself declares this layout, and no other
        layout is tried. Empty if no file declares it.
    feeds : str
        The module whose ``find_feeds(arrays, paths)`` says what feeds the networks at ``paths``: for each
        path a `Feed` or `UnknownFeed`, or no entry for the model's input. Empty if files do not say it.
    framework : str
        The framework and its modules, for the documentation.
    array_names : str
        The names of the arrays, for the documentation.
    containers : tuple of str
        The containers in which the framework itself writes these names, for the documentation.
    inner_modules : tuple of str
        The names of modules inside a recurrent layer's own module that hold its arrays.
    borrowed_names : bool
        Whether other programs use its names with other orders of gates.
    on_request : bool
        Whether the layout is tried only if the user asks for it.
    """

    name_parts: tuple[str, ...]
    metadata_key: str = ""
    feeds: str = ""
    framework: str = ""
    array_names: str = ""
    containers: tuple[str, ...] = ()
    inner_modules: tuple[str, ...] = ()
    borrowed_names: bool = False
    on_request: bool = False


# One line per layout: the name of its module, and its signs.
LAYOUT_SIGNS = {
    "torch": LayoutSigns(
        ("weight_hh", "weight_ih", "bias_hh", "bias_ih"),
        framework="torch: RNN, LSTM, GRU and their cells",
        inner_modules=("base_layer",),
        array_names="`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_hr_l0`, `…_reverse`",
        containers=("torch", "safetensors", "shards"),
    ),
    "keras": LayoutSigns(
        ("recurrent_kernel", "vars", "_U", "param_"),
        feeds="gradflow.layouts.keras_feeds",
        borrowed_names=True,
        framework="Keras: SimpleRNN, LSTM, GRU, CuDNNLSTM, CuDNNGRU and their cells",
        array_names="`kernel`, `recurrent_kernel`, `bias`; `vars/0`, `vars/1`, `vars/2`; "
        "`lstm_1_W_i`, `lstm_1_U_i`, `lstm_1_b_i`, …",
        containers=("hdf5", "tensorflow", "json"),
    ),
    "onnx": LayoutSigns(
        ("R",),
        metadata_key="op",
        feeds="gradflow.layouts.onnx_feeds",
        framework="ONNX: the operators RNN, LSTM, GRU",
        array_names="inputs `W`, `R`, `B`, `P`",
        containers=("onnx",),
    ),
    "flax": LayoutSigns(
        ("kernel",),
        framework="Flax, linen and nnx: SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell",
        array_names="`ii/kernel`, `hi/kernel`, `hi/bias`, …; `dense_i/kernel`, `dense_h/kernel`",
        containers=("flax",),
    ),
    "equinox": LayoutSigns(
        ("weight_hh",),
        framework="Equinox: LSTMCell, GRUCell",
        array_names="`weight_ih`, `weight_hh`, `bias`, `bias_n`",
        containers=("npz",),
    ),
    "haiku": LayoutSigns(
        ("w_h", "linear"),
        framework="Haiku: VanillaRNN, LSTM, GRU",
        inner_modules=("linear",),
        array_names="`linear/w`, `linear/b`; `w_i`, `w_h`, `b`",
        containers=("npz",),
    ),
    "tensorflow1": LayoutSigns(
        ("_cell",),
        framework="TensorFlow 1: BasicRNNCell, BasicLSTMCell, LSTMCell, GRUCell",
        array_names="`basic_lstm_cell/kernel`, `gru_cell/gates/kernel`, `w_f_diag`, …",
        containers=("tensorflow",),
    ),
    "equinox_leaves": LayoutSigns(
        ("leaves.",),
        framework="Equinox: LSTMCell, GRUCell, by shape and order, only if the layout is asked for",
        array_names="none",
        containers=("equinox",),
        on_request=True,
    ),
    "elmo": LayoutSigns(
        ("input_linearity", "LSTMCell"),
        feeds="gradflow.layouts.elmo",
        framework="ELMo (AllenNLP, bilm-tf): LSTMs with projection and clipping",
        array_names="`forward_layer_0/input_linearity/weight`, `RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0`",
        containers=("torch", "hdf5", "tensorflow"),
    ),
    "rate": LayoutSigns(
        ("h2h", "W_rec"),
        framework="neurogym, PsychRNN: rate networks",
        array_names="`input2h.weight`, `h2h.weight`; `W_in`, `W_rec`, `b_rec`",
        containers=("torch", "npz"),
    ),
}

LAYOUTS: Registry = {name: f"gradflow.layouts.{name}" for name in LAYOUT_SIGNS}

# Networks → named arrays, for the layouts that can be written: each is a `WeightExporter`.
EXPORTERS: Registry = {
    "torch": "gradflow.layouts.to_torch:EXPORTER",
    "keras": "gradflow.layouts.to_keras:EXPORTER",
    "onnx": "gradflow.layouts.to_onnx:EXPORTER",
}
