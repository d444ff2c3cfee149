"""`openeo-embed bench`: the engines on this machine, in one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from models.benchmark import Result
    from models.network import TwoStageModel

COLUMNS = ("case", "engine", "embeddings/s", "times alone", "times as published", "off float64", "memory")
ROUNDED = "dense, bf16"
CEILINGS = ("of matrix ceiling", "of copy ceiling")  # the second on GPUs only: elsewhere caches hold what is handed on

Ceilings = dict[bool, Mapping[str, float]]  # by whether matrix products take bf16


@click.command()
@click.option("--model", default="demo", show_default=True, help="A model's name.")
@click.option(
    "--size", type=click.IntRange(8, 1024), default=None, help="Pixels on the area's side.  [default: 40, on a GPU 128]"
)
@click.option("--sample", type=click.IntRange(4), default=48, show_default=True, help="Windows computed on their own.")
@click.option("--bf16", is_flag=True, help="Also with matrix products rounded to bf16.")
@click.option("--device", default=None, help="cpu or cuda; by default a GPU where there is one.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to a Markdown file.")
@data_option
def bench(
    model: str, size: int | None, sample: int, bf16: bool, device: str | None, output: Path | None, data: Path
) -> None:
    """Compare windows computed on their own with the dense engine: speed, error, memory.

    All in one run on the same cubes, so that ratios hold on a busy machine. Without decoding ("alone") and with it
    ("as published"); clear sky and half of it cloud. Beside them, what share of this machine's matrix products and, on
    a GPU, of its copies the engine's arithmetic and traffic amount to.
    """
    import torch

    from models import load_model
    from models.benchmark import alone_work, ceilings, machine
    from models.folders import PACKAGED, ModelNotFound
    from udf import ModelShelf

    shelf = ModelShelf((PACKAGED, settings_of(data).data / "models"), model)
    try:
        folder = shelf.get(None).folder
    except ModelNotFound as error:
        raise click.ClickException(str(error)) from error
    network = load_model(folder, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = network.device.type == "cuda"
    size = size or (128 if on_gpu else 40)
    ceiling = {
        rounded: ceilings(network.device, torch.bfloat16 if rounded else torch.float32)
        for rounded in ((False, True) if bf16 else (False,))
    }
    command = f"openeo-embed bench --size {size} --sample {sample}{' --bf16' if bf16 else ''}"
    products = ", ".join(f"{found['matrix'] / 1e9:.0f} GFLOP/s{' in bf16' * r}" for r, found in ceiling.items())
    lines = [
        f"`{command}` on {machine(network.device)}; "
        f"{products} in matrix products, {ceiling[False]['copy'] / 1e9:.1f} GB/s in copies. "
        f"{size} x {size} pixels, both sensors on the same dates, frame rule `cube`. A window on its own takes "
        f"{alone_work(network) / 1e9:.1f} GFLOP.",
        "",
        _row(COLUMNS + CEILINGS[: 1 + on_gpu]),
        "|---|---|" + "---:|" * (len(COLUMNS) - 2 + 1 + on_gpu),
    ]
    click.echo("\n".join(lines))
    for line in _table(network, size, sample, ceiling):
        click.echo(line)
        lines.append(line)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("# What an embedding costs\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _table(network: TwoStageModel, size: int, sample: int, ceiling: Ceilings) -> Iterator[str]:
    """The lines of the table, each as soon as it is measured."""
    from models import benchmark
    from models.embed import Embedder

    engines = {"dense": Embedder(network, "dense")}
    if engines["dense"].compiled:
        engines = {
            "dense, compiled": engines["dense"],
            "dense, plain torch": Embedder(network, "dense", compiled=False),
        }
    if True in ceiling:
        engines[ROUNDED] = Embedder(network, "dense", "bf16")
    shares = [""] * (2 if network.device.type == "cuda" else 1)
    alone = published = 0.0
    for case in benchmark.CASES:
        cubes, times = benchmark.make_case(case, network, size)
        drawn = benchmark.sample(benchmark.windows_of(network, cubes, times), sample)
        if not alone:
            alone, _ = benchmark.measure_alone(network, cubes, drawn, decode=False)
            published, _ = benchmark.measure_alone(network, cubes, drawn, decode=True)
            ratio = f"{alone / published:.1f}", f"{published / alone:.2f}"
            yield _row(["any", "each window alone", f"{alone:.1f}", "1", ratio[0], "", "", *shares])
            yield _row(["any", "as published, decoding too", f"{published:.1f}", ratio[1], "1", "", "", *shares])
        expected = benchmark.reference(network, cubes, drawn)
        _, values = benchmark.measure_alone(network, cubes, drawn, decode=False)
        off = f"{expected.error_of(values):.1e}"
        yield _row([case.name, "each window alone", "", "", "", off, "", *shares])
        for name, embedder in engines.items():
            rounded = name == ROUNDED
            result = benchmark.measure(embedder, cubes, times, expected, rounded)
            times_faster = [f"{result.rate / alone:.1f}", f"{result.rate / published:.0f}"]
            measured = [f"{result.error:.1e}", f"{result.memory / 1e6:.0f} MB"]
            found = _of_ceilings(result, ceiling[rounded])[: len(shares)]
            yield _row(
                [case.name, name, f"{result.rate:.0f}", *times_faster, *measured, *(shares if case.blobs else found)]
            )


def _of_ceilings(result: Result, ceiling: Mapping[str, float]) -> list[str]:
    """Which shares of the ceilings the arithmetic and the traffic of clear frames amount to; none where not counted."""
    traffic = f"{result.traffic / ceiling['copy']:.0%}" if result.traffic else ""
    return [f"{result.work / ceiling['matrix']:.0%}", traffic]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
