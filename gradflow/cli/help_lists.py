"""Lists in help texts that are made of records and cells. They load numpy."""

from gradflow.cells import CELLS
from gradflow.cells.spec import describe_cell_options
from gradflow.cli.help import fill_list
from gradflow.record import MatrixMeaning, TableMeaning, get_meanings
from gradflow.registry import load


def format_results(record_place: str) -> list[str]:
    """Return lines with the tables, matrices and verdicts of a record class, given as ``module:class``."""
    record = load(record_place)
    main, *others = get_meanings(record, TableMeaning)
    lists = {
        "Tables:": [f"{main} (main)", *others, "summary"],
        "Matrices:": list(get_meanings(record, MatrixMeaning)),
        "Verdicts:": record.verdicts,
    }
    return [fill_list(title, items) for title, items in lists.items() if items]


def format_cell_options() -> list[str]:
    """Return lines with the options of every cell. Options that all cells share stand in the first line."""
    options = {name: describe_cell_options(load(place)) for name, place in CELLS.items()}
    first, *others = options.values()
    shared = [option for option in first if all(option in own for own in others)]
    lines = {"all": shared}
    lines |= {name: [option for option in own if option not in shared] for name, own in options.items()}
    width = max(len(f"Options of {name}: ") for name in lines)
    return [fill_list(f"Options of {name}:", items, width) for name, items in lines.items()]
