"""The parts of the page, in their order: what each shows, and of which experiments.

To add a part: write its words, `templates/KEY.html.j2`; write its program, `js/parts/KEY.js` or a folder of that name,
which ends in `PARTS.KEY = (root, exhibits) => …`; and add one line to `TOPICS`. Nothing else names it.
"""

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


ROLL, IMAGES, ARCHITECTURES = "swissroll", "image_minima", "architectures"
"""Names of experiments that several lines below share."""

TOPICS = (
    Topic("minefield", "The minefield", "Minefield", ("minefield",), ("1-minefield",)),
    Topic("push", "Push the weights", "Push", (ROLL,), ()),
    Topic("surfaces", "The loss around a minimum", "Surfaces", (ROLL, IMAGES), (f"3-{ROLL}", "4-image-minima")),
    Topic("poison", "From good to bad", "Poison", (ROLL,), (f"6-{ROLL}",)),
    Topic("basins", "The size of a basin", "Basins", (ROLL, IMAGES), (f"5-{ROLL}", "5-image-minima", "7-image-minima")),
    Topic("images", "Push a network that reads images", "Images", (IMAGES,), ()),
    Topic("rings", "A margin that is pinched", "Rings", ("rings",), ("8-rings", "8-rings-circle")),
    Topic(
        "optimizers",
        "Does the optimizer matter?",
        "Optimizers",
        (ARCHITECTURES,),
        (f"2-{ARCHITECTURES}", "2-optimizers"),
    ),
)
"""The line of each part; see above for what else a part has."""


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
