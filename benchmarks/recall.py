"""Do the verdicts foresee what learns? Networks are trained to recall the first token, and judged.

Each sequence has T tokens. The first is one of eight, the others are noise, and the network has to name the
first at the end (or, with a loss at every step, from then on). For each network the script saves the fresh
and the trained weights with the inputs of the recurrent layer, and how many iterations it took to learn.
``gradflow.inspect`` then judges both files, without knowing any of that.

``python benchmarks/recall.py`` trains what is missing in ``--folder`` (about half an hour on one core), and
prints the tables of the document about verdicts.
"""

import argparse
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from scipy.stats import spearmanr

import gradflow

SYMBOLS, EMBEDDING_SIZE, HIDDEN_SIZE = 8, 16, 64
BATCH_SIZE, MAX_ITERATIONS, LEARNING_RATE, CLIP_NORM = 64, 1500, 1e-3, 1.0
SOLVED_ACCURACY = 0.9  # running mean over about 20 batches from which a network counts as having learned
STOP_ACCURACY = 0.99
STUCK_ACCURACY = 2 / SYMBOLS  # twice that of guessing
MIN_MEMORY = 0.1  # from which the state holds its first input
INSPECTED_SEQUENCES = 8
INITS = {
    "lstm": ("default", "bias1", "bias3", "chrono"),
    "gru": ("default", "bias1", "bias3", "chrono"),
    "rnn": ("default", "orthogonal", "identity", "gain2"),
}
LAYERS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


class RecallNetwork(NamedTuple):
    """A network to train: its cell, how its weights are drawn, and its task.

    The later tokens are ``other`` than the symbols, so that the first stands out, or ``same``: then the
    network has to tell it by its place. The loss is at the ``end`` or at ``every`` step.
    """

    cell: str
    init: str
    length: int
    noise: str
    loss: str

    @property
    def name(self) -> str:
        """The name of its files."""
        return "-".join(map(str, self))

    @property
    def seed(self) -> int:
        """The seed of its weights and of its training."""
        return zlib.crc32(self.name.encode())


def list_networks() -> Iterator[RecallNetwork]:
    """Yield every network of the yardstick, the short sequences first."""
    for length in (20, 50, 100, 200):
        for cell in INITS:
            yield RecallNetwork(cell, "advised", length, "other", "end")
    for length in (10, 20, 30, 50, 100, 200):
        for cell, inits in INITS.items():
            for init in inits if length < 200 else (inits[-2], inits[-1], inits[0]):
                yield RecallNetwork(cell, init, length, "other", "end")
                if length in (10, 30, 100):
                    yield RecallNetwork(cell, init, length, "same", "end")
            if length in (20, 100):
                yield RecallNetwork(cell, inits[0], length, "other", "every")
                yield RecallNetwork(cell, inits[-1], length, "other", "every")


class RecallModel(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """An embedding, one recurrent layer and a linear head."""

    def __init__(self, network: RecallNetwork) -> None:
        super().__init__()
        torch.manual_seed(network.seed)
        options = {"nonlinearity": "relu"} if network.init == "identity" else {}
        self.embedding = torch.nn.Embedding(2 * SYMBOLS, EMBEDDING_SIZE)
        self.layer = LAYERS[network.cell](EMBEDDING_SIZE, HIDDEN_SIZE, batch_first=True, **options)
        self.head = torch.nn.Linear(HIDDEN_SIZE, SYMBOLS)
        with torch.no_grad():
            self.draw_weights(network)

    def draw_weights(self, network: RecallNetwork) -> None:
        """Replace torch's weights where the network asks for others."""
        weights, bias = self.layer.weight_hh_l0, self.layer.bias_hh_l0
        kept = slice(
            HIDDEN_SIZE, 2 * HIDDEN_SIZE
        )  # the forget gate of torch's lstm, the update gate of its gru
        match network.init:
            case "bias1" | "bias3":
                bias[kept] += float(network.init.removeprefix("bias"))
            case "chrono":
                spread = torch.log(1 + torch.rand(HIDDEN_SIZE) * (network.length - 2))
                self.layer.bias_ih_l0[kept] = 0.0
                bias[kept] = spread
                if network.cell == "lstm":
                    self.layer.bias_ih_l0[:HIDDEN_SIZE] = 0.0
                    bias[:HIDDEN_SIZE] = -spread
            case "orthogonal":
                torch.nn.init.orthogonal_(weights)
            case "identity":
                torch.nn.init.eye_(weights)
            case "advised":
                self.take_advice(network)
            case "gain2":
                weights *= 2.0 / (float(np.sqrt(1 / 3)))  # the spectral radius of a fresh matrix is √(1/3)

    def take_advice(self, network: RecallNetwork) -> None:
        """Run the code that gradflow advises for torch's own weights, along the inputs of the layer."""
        weights = {name: value.numpy() for name, value in self.layer.state_dict().items()}
        inputs = self.embedding(draw_inspected(network)).double().numpy()
        advice = gradflow.inspect(
            gradflow.from_state_dict(weights), input=inputs, length=network.length
        ).advice
        if advice is not None and True in advice.advised:
            exec(advice.code[advice.advised.index(True)], {"model": self.layer, "torch": torch})

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the scores of the symbols at every step."""
        scores: torch.Tensor = self.head(self.layer(self.embedding(tokens))[0])
        return scores


def draw_tokens(network: RecallNetwork, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return sequences of a symbol and noise, (count, length)."""
    tokens = torch.randint(0, SYMBOLS, (count, network.length), generator=generator)
    if network.noise == "other":
        tokens[:, 1:] += SYMBOLS
    return tokens


def draw_inspected(network: RecallNetwork) -> torch.Tensor:
    """Return the sequences along which gradflow measures."""
    return draw_tokens(network, INSPECTED_SEQUENCES, torch.Generator().manual_seed(10**6))


def save_weights(model: RecallModel, network: RecallNetwork, folder: Path, stage: str) -> None:
    """Save the recurrent layer, and what it receives of a few sequences."""
    torch.save(model.layer.state_dict(), folder / f"{network.name}.{stage}.pt")
    with torch.no_grad():
        np.save(
            folder / f"{network.name}.{stage}.npy", model.embedding(draw_inspected(network)).double().numpy()
        )


def train(network: RecallNetwork, folder: Path) -> dict[str, Any]:
    """Train a network, save its weights before and after, and return what it learned."""
    model, generator = RecallModel(network), torch.Generator().manual_seed(network.seed)
    save_weights(model, network, folder, "fresh")
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    accuracy, solved, start = 1 / SYMBOLS, None, time.perf_counter()
    for iteration in range(1, MAX_ITERATIONS + 1):
        tokens = draw_tokens(network, BATCH_SIZE, generator)
        scores, first = model(tokens), tokens[:, 0]
        judged = scores if network.loss == "every" else scores[:, -1:]
        loss = torch.nn.functional.cross_entropy(
            judged.transpose(1, 2), first[:, None].expand(-1, judged.shape[1])
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        right = float((scores[:, -1].argmax(-1) == first).float().mean())
        accuracy += 0.05 * (right - accuracy)
        if solved is None and accuracy >= SOLVED_ACCURACY:
            solved = iteration
        if accuracy >= STOP_ACCURACY:
            break
    save_weights(model, network, folder, "trained")
    return {
        "accuracy": accuracy, "solved_after": solved, "iterations": iteration,
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


class FileJudgment(NamedTuple):
    """What gradflow says of one file."""

    share: float  # log₁₀
    verdict: str
    memory: float
    compared: str  # the verdict of gradflow.compare


class TrainingOutcome(NamedTuple):
    """A network, what it learned, and what gradflow says of it before and after training."""

    network: RecallNetwork
    accuracy: float
    solved_after: int | None
    fresh: FileJudgment
    trained: FileJudgment


def judge(network: RecallNetwork, folder: Path, stage: str) -> FileJudgment:
    """Return what gradflow says of the weights of one stage, along the inputs of the layer."""
    assume = {"activation": "relu"} if network.init == "identity" else None
    inputs = np.load(folder / f"{network.name}.{stage}.npy")
    model = gradflow.load(folder / f"{network.name}.{stage}.pt", assume=assume)
    layers = gradflow.inspect(model, input=inputs, length=network.length, advice="none").layers
    lags = [1, network.length]
    cells = gradflow.compare(model.networks[0], input=inputs, seeds=len(inputs), lags=lags).cells
    return FileJudgment(
        layers.log10_share[0], layers.verdict[0], layers.memory[0] or 0.0, str(cells.verdict[0])
    )


def judge_all(folder: Path) -> list[TrainingOutcome]:
    """Return the outcomes of all networks that were trained."""
    outcomes = []
    for network in list_networks():
        file = folder / f"{network.name}.json"
        if file.exists():
            truth = json.loads(file.read_text())
            fresh, trained = (judge(network, folder, stage) for stage in ("fresh", "trained"))
            outcomes.append(
                TrainingOutcome(network, truth["accuracy"], truth["solved_after"], fresh, trained)
            )
    return outcomes


def print_networks(outcomes: list[TrainingOutcome]) -> None:
    """Print a line for each network, the smallest share first."""
    header = "cell init T noise loss share verdict learned accuracy share_after verdict_after memory_after"
    print(f"| {header.replace(' ', ' | ')} |")
    print("|---" * len(header.split()) + "|")
    for one in sorted(outcomes, key=lambda one: one.fresh.share):
        cells = [
            *one.network, f"{10**one.fresh.share:.1e}", one.fresh.verdict, one.solved_after or "–",
            f"{one.accuracy:.2f}", f"{10**one.trained.share:.1e}", one.trained.verdict,
            f"{one.trained.memory:.2g}",
        ]  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |")


def print_summary(outcomes: list[TrainingOutcome]) -> None:
    """Print how often the verdicts on fresh and on trained weights were right."""
    for loss in ("end", "every"):
        chosen = [one for one in outcomes if one.network.loss == loss]
        if not chosen:
            continue
        print(f"\nfresh weights, loss at {'the end' if loss == 'end' else 'every step'}:")
        right = claims = 0
        for verdict in ("stable", "borderline", "vanishing", "exploding"):
            said = [one for one in chosen if one.fresh.verdict == verdict]
            learned = [one.solved_after for one in said if one.solved_after]
            middle = f", half of them within {int(np.median(learned))} iterations" if learned else ""
            print(f"  {verdict}: {len(learned)} of {len(said)} learned{middle}")
            if verdict != "borderline":
                claims += len(said)
                right += len(learned) if verdict == "stable" else len(said) - len(learned)
        print(f"  right: {right} of {claims} claims, {len(chosen) - claims} borderline without a claim")
        effort = [one.solved_after or 2 * MAX_ITERATIONS for one in chosen]
        share = spearmanr([abs(one.fresh.share) for one in chosen], effort).statistic
        memory = spearmanr([-one.fresh.memory for one in chosen], effort).statistic
        print(f"  rank correlation with the iterations: |log share| {share:.2f}, memory {memory:.2f}")
    stuck = [one.trained for one in outcomes if one.accuracy < STUCK_ACCURACY]
    solved = [one.trained for one in outcomes if one.accuracy >= SOLVED_ACCURACY]
    fine = sum(one.verdict == "stable" for one in stuck)
    unstable = [one for one in solved if one.verdict != "stable"]
    broken = sum(one.memory < MIN_MEMORY for one in unstable)
    judgments = [one for outcome in outcomes for one in (outcome.fresh, outcome.trained)]
    print(f"\ntrained weights: {fine} of {len(stuck)} stuck networks are called stable")
    print(f"  {len(unstable)} of {len(solved)} solved ones are not stable, {broken} of them without memory")
    same = sum(one.verdict == one.compared for one in judgments)
    print(f"compare has the verdict of inspect on {same} of {len(judgments)} files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("recall"), help="where trained networks are kept")
    parser.add_argument("--judge", action="store_true", help="train nothing, judge what was trained")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for network in list_networks():
        file = arguments.folder / f"{network.name}.json"
        if not file.exists() and not arguments.judge:
            file.write_text(json.dumps(train(network, arguments.folder)))
            print(network.name, file.read_text(), flush=True)
    outcomes = judge_all(arguments.folder)
    print_networks(outcomes)
    print_summary(outcomes)


if __name__ == "__main__":
    main()
