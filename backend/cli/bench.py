"""`openeo-embed bench`: the engines on this machine, in one run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from models.benchmark import Case, Result
    from models.network import TwoStageModel

HEADER = (
    "| case | engine | embeddings/s | times alone | times as published | off float64 | memory | of matrix ceiling |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|"
)


@click.command()
@click.option("--model", default="demo", show_default=True, help="A model's name.")
@click.option("--size", type=click.IntRange(8, 1024), default=40, show_default=True, help="Pixels on the area's side.")
@click.option("--sample", type=click.IntRange(4), default=48, show_default=True, help="Windows computed on their own.")
@click.option("--bf16", is_flag=True, help="Also with matrix products rounded to bf16.")
@click.option("--device", default=None, help="cpu or cuda; by default a GPU where there is one.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to a Markdown file.")
@data_option
def bench(model: str, size: int, sample: int, bf16: bool, device: str | None, output: Path | None, data: Path) -> None:
    """Compare windows computed on their own with the dense engine: speed, error, memory.

    All in one run on the same cubes, so that ratios hold on a busy machine. Without decoding ("alone") and with it
    ("as published"); clear sky and half of it cloud.
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
    ceiling = ceilings(network.device)
    command = f"openeo-embed bench --size {size} --sample {sample}{' --bf16' if bf16 else ''}"
    lines = [
        f"`{command}` on {machine(network.device)}; "
        f"{ceiling['matrix'] / 1e9:.0f} GFLOP/s in matrix products, {ceiling['copy'] / 1e9:.1f} GB/s in copies. "
        f"{size} x {size} pixels, both sensors on the same dates, frame rule `cube`. A window on its own takes "
        f"{alone_work(network) / 1e9:.1f} GFLOP.",
        "",
        *HEADER.splitlines(),
    ]
    click.echo("\n".join(lines))
    for line in _table(network, size, sample, bf16, ceiling["matrix"]):
        click.echo(line)
        lines.append(line)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("# What an embedding costs\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _table(network: TwoStageModel, size: int, sample: int, bf16: bool, ceiling: float) -> Iterator[str]:
    """The lines of the table, each as soon as it is measured."""
    from models import benchmark
    from models.embed import Embedder

    engines = {"dense": Embedder(network, "dense")}
    if engines["dense"].compiled:
        engines = {
            "dense, compiled": engines["dense"],
            "dense, plain torch": Embedder(network, "dense", compiled=False),
        }
    if bf16:
        engines["dense, bf16"] = Embedder(network, "dense", "bf16")
    alone = published = 0.0
    for case in benchmark.CASES:
        cubes, times = benchmark.make_case(case, network, size)
        drawn = benchmark.sample(benchmark.windows_of(network, cubes, times), sample)
        if not alone:
            alone, _ = benchmark.measure_alone(network, cubes, drawn, decode=False)
            published, _ = benchmark.measure_alone(network, cubes, drawn, decode=True)
            yield f"| any | each window alone | {alone:.1f} | 1 | {alone / published:.1f} | | | |"
            yield f"| any | as published, decoding too | {published:.1f} | {published / alone:.2f} | 1 | | | |"
        expected = benchmark.reference(network, cubes, drawn)
        _, values = benchmark.measure_alone(network, cubes, drawn, decode=False)
        yield f"| {case.name} | each window alone | | | | {expected.error_of(values):.1e} | | |"
        for name, embedder in engines.items():
            result = benchmark.measure(embedder, cubes, times, expected)
            yield _line(case, name, result, alone, published, ceiling)


def _line(case: Case, engine: str, result: Result, alone: float, published: float, ceiling: float) -> str:
    of_ceiling = "" if case.blobs else f"{result.work / ceiling:.0%}"
    return (
        f"| {case.name} | {engine} | {result.rate:.0f} | {result.rate / alone:.1f} | {result.rate / published:.0f} | "
        f"{result.error:.1e} | {result.memory / 1e6:.0f} MB | {of_ceiling} |"
    )
