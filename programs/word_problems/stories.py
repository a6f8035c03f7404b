"""The stories that word problems are made of: how each begins, goes on and asks.

In every text `{0}` and `{1}` are the numbers of that sentence, in the order in which they are used, `{name}` is the
person, `{They}` and `{they}` the pronoun and `{thing}` what is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NAMES", "STORIES", "Sentence", "Story"]

NAMES = (
    *((name, "She") for name in ("Mia", "Zoe", "Ana", "Ruth", "Priya", "Ines", "Leila", "Hana", "Vera", "Amara")),
    *((name, "He") for name in ("Leo", "Omar", "Ivan", "Paul", "Kenji", "Tom", "Luis", "Sami", "Emil", "Kofi")),
)


@dataclass(frozen=True)
class Sentence:
    """A part of a story and the operation that it stands for: `+`, `-`, `*`, `/`, or empty for none."""

    operator: str
    text: str


@dataclass(frozen=True)
class Story:
    """A kind of word problem around one running quantity.

    Attributes:
        kind: Its name.
        things: What may be counted, plural.
        starts: How the quantity begins: one number, or the product of two (`*`).
        changes: What may happen to it, each at most once.
        ends: The question about it, with a last operation or without.
    """

    kind: str
    things: tuple[str, ...]
    starts: tuple[Sentence, ...]
    changes: tuple[Sentence, ...]
    ends: tuple[Sentence, ...]


STORIES = (
    Story(
        "buying",
        ("notebooks", "T-shirts", "lamps", "cushions", "plates"),
        (
            Sentence("", "{name} puts {thing} for {0} dollars into a basket."),
            Sentence("*", "{name} orders {0} {thing} for {1} dollars each."),
        ),
        (
            Sentence("+", "Delivery adds {0} dollars to the bill."),
            Sentence("-", "A voucher takes {0} dollars off the bill."),
            Sentence("+", "{They} also buys a bag for {0} dollars."),
        ),
        (
            Sentence("", "How many dollars does {name} have to pay?"),
            Sentence("/", "The bill is split equally among {0} people. How many dollars does each of them pay?"),
        ),
    ),
    Story(
        "saving",
        ("puzzles", "comics", "tickets", "brushes"),
        (
            Sentence("", "{name} has {0} dollars in a jar."),
            Sentence("*", "{name} saves {0} dollars a week for {1} weeks."),
        ),
        (
            Sentence("+", "Then {they} gets {0} dollars for a birthday."),
            Sentence("-", "{They} spends {0} dollars of it on a present."),
            Sentence("+", "{They} also earns {0} dollars by washing cars."),
        ),
        (
            Sentence("", "How many dollars does {name} have now?"),
            Sentence("/", "Now {they} spends all of it on {thing} for {0} dollars each. How many {thing} is that?"),
        ),
    ),
    Story(
        "sharing",
        ("sweets", "grapes", "marbles", "balloons", "cherries"),
        (
            Sentence("", "{name} brings {0} {thing} to a party."),
            Sentence("*", "{name} opens {0} bags with {1} {thing} in each."),
        ),
        (
            Sentence("-", "{They} keeps {0} of them for later and puts the others on the table."),
            Sentence("+", "A neighbour adds {0} more {thing}."),
            Sentence("-", "Then {0} {thing} roll off the table and are thrown away."),
        ),
        (
            Sentence("", "How many {thing} are there to share?"),
            Sentence("/", "The {thing} are shared equally among {0} children. How many does each child get?"),
        ),
    ),
    Story(
        "travelling",
        ("kilometres", "miles"),
        (
            Sentence("", "{name} drives {0} {thing} before lunch."),
            Sentence("*", "{name} drives for {0} hours at {1} {thing} an hour."),
        ),
        (
            Sentence("+", "After a break {they} drives {0} {thing} more."),
            Sentence("+", "In the evening {they} drives another {0} {thing} to a hotel."),
            Sentence("+", "The next day {they} drives {0} {thing} to the sea."),
        ),
        (
            Sentence("", "How many {thing} does {name} drive in total?"),
            Sentence("*", "{They} makes this whole journey {0} times a year. How many {thing} is that a year?"),
            Sentence("/", "The car needs one litre for every {0} {thing}. How many litres does the journey take?"),
        ),
    ),
    Story(
        "packing",
        ("books", "mugs", "candles", "toys", "jars"),
        (
            Sentence("", "{name} has {0} {thing} to pack."),
            Sentence("*", "{name} has {0} shelves with {1} {thing} on each and wants to pack them all."),
        ),
        (
            Sentence("+", "{They} finds {0} more {thing} in the cellar."),
            Sentence("-", "{They} gives {0} of the {thing} to a friend."),
            Sentence("-", "Another {0} {thing} are broken and go in the bin."),
        ),
        (
            Sentence("", "How many {thing} does {name} have to pack now?"),
            Sentence("/", "{They} puts {0} {thing} in each box. How many boxes does {name} fill?"),
        ),
    ),
    Story(
        "baking",
        ("muffins", "cookies", "rolls", "pretzels"),
        (
            Sentence("", "{name} bakes {0} {thing}."),
            Sentence("*", "{name} bakes {0} trays of {1} {thing}."),
        ),
        (
            Sentence("-", "The family eats {0} of them."),
            Sentence("+", "Then {they} bakes {0} more {thing}."),
            Sentence("-", "Sadly {0} {thing} fall on the floor."),
        ),
        (
            Sentence("", "How many {thing} does {name} have now?"),
            Sentence("*", "{They} sells all the {thing} for {0} dollars each. How many dollars does {name} get?"),
            Sentence("/", "{They} packs all the {thing} in bags of {0}. How many bags does {name} fill?"),
        ),
    ),
    Story(
        "reading",
        ("pages",),
        (
            Sentence("", "{name} reads {0} {thing} of a long novel on Monday."),
            Sentence("*", "{name} reads {0} {thing} of a long novel a day for {1} days."),
        ),
        (
            Sentence("+", "On Saturday {they} reads {0} {thing} more."),
            Sentence("+", "On Sunday {they} reads another {0} {thing}."),
            Sentence("+", "On holiday {they} reads {0} further {thing}."),
        ),
        (
            Sentence("", "How many {thing} has {name} read in total?"),
            Sentence("/", "Each chapter has {0} {thing}. How many chapters has {name} read?"),
        ),
    ),
    Story(
        "gardening",
        ("tulips", "roses", "sunflowers", "dahlias"),
        (
            Sentence("", "{name} plants {0} {thing}."),
            Sentence("*", "{name} plants {0} rows of {1} {thing}."),
        ),
        (
            Sentence("-", "Frost kills {0} of them."),
            Sentence("+", "In spring {they} plants {0} more {thing}."),
            Sentence("-", "Rabbits eat {0} {thing}."),
        ),
        (
            Sentence("", "How many {thing} are in the garden now?"),
            Sentence("/", "{They} picks all the {thing} and ties bunches of {0}. How many bunches are there?"),
        ),
    ),
    Story(
        "collecting",
        ("stamps", "stickers", "coins", "postcards", "shells"),
        (
            Sentence("", "{name} has a collection of {0} {thing}."),
            Sentence("*", "{name} has {0} albums with {1} {thing} in each."),
        ),
        (
            Sentence("+", "An aunt sends {0} more {thing}."),
            Sentence("-", "{They} gives away {0} {thing} that {they} has twice."),
            Sentence("+", "At a market {they} buys another {0} {thing}."),
        ),
        (
            Sentence("", "How many {thing} does {name} have now?"),
            Sentence("/", "{They} arranges all the {thing} on pages of {0}. How many pages does {name} fill?"),
        ),
    ),
    Story(
        "queueing",
        ("museum", "cinema", "zoo", "castle", "theatre"),
        (
            Sentence("", "At the {thing}, {0} people stand in the queue."),
            Sentence("*", "In the queue at the {thing} stand {0} groups of {1} people."),
        ),
        (
            Sentence("+", "A bus brings {0} more people to the queue."),
            Sentence("-", "After a while {0} people lose patience and leave."),
            Sentence("-", "Then the doors open and {0} people are let in."),
        ),
        (
            Sentence("", "How many people are in the queue now?"),
            Sentence("*", "Everyone in the queue buys a ticket for {0} dollars. How many dollars is that together?"),
            Sentence("/", "Guides take the people in the queue in groups of {0}. How many groups are there?"),
        ),
    ),
    Story(
        "farming",
        ("eggs", "pumpkins", "cabbages", "melons"),
        (
            Sentence("", "On the farm {name} collects {0} {thing}."),
            Sentence("*", "On the farm {name} fills {0} baskets with {1} {thing} each."),
        ),
        (
            Sentence("-", "{They} finds that {0} {thing} are bad and throws them away."),
            Sentence("+", "A helper brings {0} more {thing}."),
            Sentence("-", "{They} keeps {0} {thing} for the kitchen and wants to sell the others."),
        ),
        (
            Sentence("", "How many {thing} can {name} sell?"),
            Sentence("*", "{They} sells all these {thing} for {0} dollars each. How many dollars does {name} earn?"),
            Sentence("/", "The {thing} go to market in crates of {0}. How many crates are filled?"),
        ),
    ),
    Story(
        "playing",
        ("points", "stars", "tokens"),
        (
            Sentence("", "{name} wins {0} {thing} in the first round of a game."),
            Sentence("*", "{name} wins {0} rounds of a game and gets {1} {thing} for each."),
        ),
        (
            Sentence("+", "A bonus brings {0} {thing} more."),
            Sentence("-", "A mistake costs {0} {thing}."),
            Sentence("+", "For the fastest answer {they} gets another {0} {thing}."),
        ),
        (
            Sentence("", "How many {thing} does {name} have at the end?"),
            Sentence("*", "In the final all {thing} are multiplied by {0}. How many {thing} are there at the end?"),
        ),
    ),
    Story(
        "working",
        ("shop", "library", "bakery", "harbour"),
        (
            Sentence("", "At the {thing} {name} earns {0} dollars."),
            Sentence("*", "At the {thing} {name} works for {0} hours at {1} dollars an hour."),
        ),
        (
            Sentence("+", "{They} also gets {0} dollars in tips."),
            Sentence("-", "The bus home costs {0} dollars."),
            Sentence("-", "{They} spends {0} dollars on dinner."),
        ),
        (
            Sentence("", "How many dollars does {name} bring home?"),
            Sentence("*", "It is the same on each of {0} days. How many dollars does {name} bring home altogether?"),
        ),
    ),
)
