"""The parts of the page, in their order: what each shows, and of which experiments."""

from __future__ import annotations

from dataclasses import dataclass

from basinscope.report.gather import Figure, Section


@dataclass(frozen=True)
class Topic:
    """One part of the page."""

    key: str
    """Anchor, name of its program, and of its template."""
    title: str
    short: str
    """The title in one word."""
    exhibits: tuple[str, ...]
    """Experiments that it can show; any of them is enough."""
    figures: tuple[str, ...]
    """Stems of the printed figures that belong to it."""


TOPICS = (
    Topic("minefield", "The minefield", "Minefield", ("minefield",), ("1-minefield",)),
    Topic("push", "Push the weights", "Push", ("swissroll",), ()),
    Topic(
        "surfaces",
        "The loss around a minimum",
        "Surfaces",
        ("swissroll", "image_minima"),
        ("3-swissroll", "4-image-minima"),
    ),
    Topic("poison", "From good to bad", "Poison", ("swissroll",), ("6-swissroll",)),
    Topic(
        "basins",
        "The size of a basin",
        "Basins",
        ("swissroll", "image_minima"),
        ("5-swissroll", "5-image-minima", "7-image-minima"),
    ),
    Topic("images", "Push a network that reads images", "Images", ("image_minima",), ()),
    Topic("rings", "A margin that is pinched", "Rings", ("rings",), ("8-rings", "8-rings-circle")),
    Topic(
        "optimizers",
        "Does the optimizer matter?",
        "Optimizers",
        ("architectures",),
        ("2-architectures", "2-optimizers"),
    ),
)


@dataclass(frozen=True)
class Part:
    """A topic with what an output folder holds of it."""

    topic: Topic
    exhibits: list[str]
    figures: list[Figure]


def parts(sections: dict[str, Section]) -> list[Part]:
    """Topics that have something to show."""
    figures = {stem: figure for section in sections.values() for stem, figure in section.figures.items()}
    found = []
    for topic in TOPICS:
        exhibits = [name for name in topic.exhibits if name in sections and sections[name].exhibit]
        printed = [figures[stem] for stem in topic.figures if stem in figures]
        if exhibits or printed:
            found.append(Part(topic, exhibits, printed))
    return found
