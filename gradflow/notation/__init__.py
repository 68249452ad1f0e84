r"""Formulas as a person types and reads them, in Unicode, and the LaTeX of each.

A formula is written once, as ``∂hₜ/∂hₖ = ∏ᵢ₌ₖ₊₁ᵗ diag(σ′(zᵢ)) W``; in a text it is enclosed in $ signs.

- Scripts are those of Unicode, or ``W_f``, ``x_{t−1}``, ``W^{…}``. ``ᵀ`` is the transpose, but on Σ and ∏ it
  is the number T. ``ˣ`` is ×, as in ``ℝⁿˣᵈ``.
- ``a/b`` is a fraction of its direct neighbours: one letter with its scripts, or brackets, which the
  fraction does not show. ``∂`` and the ``d`` of ``dhₜ/dW`` belong to the symbol after them.
- ``[a, b; c, d]`` is a matrix, row by row.
"""

RELATION_SIGNS = "=≠≤<"
SUM_SIGNS, PRODUCT_SIGNS = "+−", "·⊙"  # a long formula may be broken before these
FORMULA_MARK = "$"

GREEK_NAMES = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma",
    "Δ": "Delta", "Λ": "Lambda", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
LATEX_SYMBOLS = {letter: f"\\{name}" for letter, name in GREEK_NAMES.items()} | {
    "·": r"\cdot", "⊙": r"\odot", "×": r"\times", "−": "-", "±": r"\pm", "≠": r"\neq", "≤": r"\leq",
    "≥": r"\geq", "≈": r"\approx", "∈": r"\in", "→": r"\to", "∞": r"\infty", "…": r"\dots",
    "ℝ": r"\mathbb{R}", "ℂ": r"\mathbb{C}", "∂": r"\partial", "Σ": r"\sum", "∏": r"\prod",
} | {sign: sign for sign in "+=<>,;:!"}  # fmt: skip
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᵈᵏᵐⁿⁱʲᵗᶻ", "0123456789+-=()abdkmnijtz", strict=True)) | {
    "ᵀ": r"\top", "ˣ": r"\times", "ᴴ": r"\mathsf{H}",
}  # fmt: skip
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-=()aehijklmnoprstuvx", strict=True))
FUNCTION_NAMES = ("tanh", "sinh", "cosh", "max", "min", "lim", "ln", "log", "exp", "det")
LATEX_NAMES = {name: f"\\{name}" for name in FUNCTION_NAMES} | {"diag": r"\operatorname{diag}"}
ACCENTS = {"\N{COMBINING TILDE}": r"\tilde"}
BARS = {"‖": (r"\lVert", r"\rVert"), "|": (r"\lvert", r"\rvert")}
OPENING, CLOSING = "([{", ")]}"
PRIME_SIGN = "′"
