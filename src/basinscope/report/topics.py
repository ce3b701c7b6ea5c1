"""The parts of the page, in order: titles, and the experiments and figures each one shows.

To add a part, write its text (`templates/KEY.html.j2`) and its program (`js/parts/KEY.js` or a folder of that name,
with `PARTS.KEY = (root, exhibits) => …`), and add one line to `TOPICS`. Nothing else refers to it by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from basinscope.report.gather import Figure, Section


@dataclass(frozen=True)
class Topic:
    """One part of the page."""

    key: str
    """HTML anchor, and name of its program and template."""
    title: str
    short: str
    """One-word title, for the navigation."""
    exhibits: tuple[str, ...]
    """Experiments it can show; one of them is enough."""
    figures: tuple[str, ...]
    """Stems of its figures for print."""


ROLL, IMAGES, ARCHITECTURES = "swissroll", "image_minima", "architectures"
"""Experiments named on several lines below."""

TOPICS = (
    Topic("minefield", "The minefield", "Minefield", ("minefield",), ("1-minefield",)),
    Topic("push", "Push the weights", "Push", (ROLL,), ()),
    Topic("surfaces", "The loss around a minimum", "Surfaces", (ROLL, IMAGES), (f"3-{ROLL}", "4-image-minima")),
    Topic("poison", "From good to bad", "Poison", (ROLL,), (f"6-{ROLL}",)),
    Topic("basins", "The size of a basin", "Basins", (ROLL, IMAGES), (f"5-{ROLL}", "5-image-minima", "7-image-minima")),
    Topic("images", "Push an image classifier", "Images", (IMAGES,), ()),
    Topic("rings", "A shrinking margin", "Rings", ("rings",), ("8-rings", "8-rings-circle")),
    Topic(
        "optimizers",
        "Does the optimizer matter?",
        "Optimizers",
        (ARCHITECTURES,),
        (f"2-{ARCHITECTURES}", "2-optimizers"),
    ),
)
"""All parts, in the order of the page."""


@dataclass(frozen=True)
class Part:
    """A topic with the exhibits and figures found in an output folder."""

    topic: Topic
    exhibits: list[str]
    figures: list[Figure]


def parts(sections: dict[str, Section]) -> list[Part]:
    """List the topics for which an output folder has exhibits or figures."""
    figures = {stem: figure for section in sections.values() for stem, figure in section.figures.items()}
    available = []
    for topic in TOPICS:
        exhibits = [name for name in topic.exhibits if name in sections and sections[name].exhibit]
        printed = [figures[stem] for stem in topic.figures if stem in figures]
        if exhibits or printed:
            available.append(Part(topic, exhibits, printed))
    return available
