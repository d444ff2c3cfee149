"""`openeo-embed model evaluate`: what embeddings are worth against the bands that they are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from models.evaluation import Site
    from models.network import TwoStageModel

FIRST_SEED = 9000  # simulated scenes that no training here uses


@click.command()
@click.argument("name")
@click.option(
    "--scenes", type=click.IntRange(0), default=4, show_default=True, help="Simulated scenes, of a year each."
)
@click.option("--size", type=click.IntRange(20, 512), default=40, show_default=True, help="Pixels on a scene's side.")
@click.option(
    "--site", type=click.Path(exists=True, path_type=Path), help="Collections of a real site, as `catalog add` takes."
)
@click.option(
    "--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="NetCDF file of the site's classes."
)
@click.option("--variable", default="CT", show_default=True, help="Variable of --labels; 0 = not known.")
@click.option(
    "--embeddings",
    type=click.IntRange(1000),
    default=40_000,
    show_default=True,
    help="Most embeddings to compute for the scenes, and for the site; of more, pixels are sampled.",
)
@click.option(
    "--decoded",
    type=click.IntRange(1),
    default=1500,
    show_default=True,
    help="Windows of the scenes, and of the site, to reconstruct.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder of the table, the numbers and the figures.",
)
@data_option
def evaluate(
    name: str,
    scenes: int,
    size: int,
    site: Path | None,
    labels: Path | None,
    variable: str,
    embeddings: int,
    decoded: int,
    output: Path,
    data: Path,
) -> None:
    """Measure what the model NAME keeps and what its embeddings tell.

    Reconstruction by band, land cover and cloud; land cover and primary production told from embeddings, from the bands
    of the same dates and from as many principal components of them; smoothness in time and coherence in space.
    Simulated scenes are tested on scenes held out, a real site on fields held out. With the defaults scenes and a site
    take about five minutes of one core.
    """
    if labels and not site:
        raise click.UsageError("--labels needs --site, the collections that the labels belong to")
    if not scenes and not site:
        raise click.UsageError("nothing to evaluate at: give --scenes above 0, or --site")
    model = _load(name, data)
    output.mkdir(parents=True, exist_ok=True)
    told = f"`{_command(name, scenes, size, site, labels, variable, embeddings, decoded)}` on {_machine(model)}."
    results, lines = {}, [f"# What embeddings of `{name}` are worth", "", told]
    for place, sites in _places(model, scenes, size, site, labels, variable).items():
        results[place] = _one(model, place, sites, embeddings, decoded, output)
        table = _table(place, results[place])
        lines += table
        click.echo("\n".join(table))
    _write(output / "evaluation.json", json.dumps(results, indent=2, allow_nan=True) + "\n")
    _write(output / "evaluation.md", "\n".join(lines) + "\n")
    click.echo(f"Wrote {output}/evaluation.md, evaluation.json and a figure for each kind of site.")


def _load(name: str, data: Path) -> TwoStageModel:
    from models import load_model
    from models.folders import PACKAGED, ModelNotFound
    from models.store import WeightsError

    try:
        return load_model(name, folders=(PACKAGED, settings_of(data).data / "models"))
    except (ModelNotFound, WeightsError) as error:
        raise click.ClickException(str(error)) from error


def _places(
    model: TwoStageModel, scenes: int, size: int, site: Path | None, labels: Path | None, variable: str
) -> dict[str, list[Site]]:
    from processes.errors import OpenEOError
    from processes.evaluation import labelled_site, simulated_site

    places: dict[str, list[Site]] = {}
    try:
        if scenes:
            places["simulated"] = [simulated_site(model.card, FIRST_SEED + i, size) for i in range(scenes)]
        if site:
            places["site"] = [labelled_site(model.card, site, labels, variable)]
    except (ValueError, OpenEOError) as error:
        raise click.ClickException(str(error)) from error
    return places


def _one(
    model: TwoStageModel, place: str, sites: list[Site], embeddings: int, decoded: int, output: Path
) -> dict[str, Any]:
    from rich.progress import Progress

    from models.evaluation.report import draw_figure
    from models.evaluation.report import evaluate as ask

    with Progress(transient=True) as bar:
        task = bar.add_task(place, total=None)
        results, samples = ask(
            model,
            sites,
            embeddings,
            decoded,
            lambda what, done, total: bar.update(task, description=f"{place}: {what}", completed=done, total=total),
        )
    if samples:
        draw_figure(output / f"{place}.png", f"{model.card.name}, {', '.join(results['sites'])}", results, samples)
    return results


def _table(place: str, results: dict[str, Any]) -> list[str]:
    from models.evaluation.report import to_markdown

    held_out = "half of them held out" if results["answering"] > 1 else "fields held out"
    scenes = "Simulated scenes" if len(results["sites"]) > 1 else "Simulated scene"
    heading = f"{scenes}, {held_out}" if place == "simulated" else "Real site, fields held out"
    return ["", f"## {heading}", "", *to_markdown(results)]


def _command(
    name: str,
    scenes: int,
    size: int,
    site: Path | None,
    labels: Path | None,
    variable: str,
    embeddings: int,
    decoded: int,
) -> str:
    parts = [f"openeo-embed model evaluate {name} --scenes {scenes} --size {size}"]
    parts += [f"--embeddings {embeddings} --decoded {decoded}"]
    parts += [f"--site {site.name}"] if site else []
    parts += [f"--labels {labels.name} --variable {variable}"] if labels else []
    return " ".join(parts)


def _machine(model: TwoStageModel) -> str:
    from models.benchmark import machine

    return str(machine(model.device))


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
