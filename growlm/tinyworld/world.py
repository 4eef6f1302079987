"""The simulated world: where everybody is, who has what, how they feel, and all that has happened."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Args:
        kind: what sort of thing, such as ``"give"``.
        actor: who did it.
        thing: what it was done with.
        other: to whom or with whom.
        place: where.
    """

    kind: str
    actor: str
    thing: str | None = None
    other: str | None = None
    place: str | None = None


class World:
    """State and history; every truth that a skill asks for is read from here.

    Attributes:
        place_of: for each person and container, the place where they are.
        holder_of: for each thing, the person, container or place that has it.
        color_of: colors of things.
        feeling_of: how each person feels now.
        history: what has happened, in order.
    """

    def __init__(self) -> None:
        self.place_of: dict[str, str] = {}
        self.holder_of: dict[str, str] = {}
        self.color_of: dict[str, str] = {}
        self.feeling_of: dict[str, str] = {}
        self.history: list[Event] = []

    def record(self, event: Event) -> Event:
        """Note an event that changes no state."""
        self.history.append(event)
        return event

    def go(self, person: str, place: str) -> Event:
        """Move a person, with all that they hold."""
        self.place_of[person] = place
        return self.record(Event("go", person, place=place))

    def take(self, person: str, thing: str, kind: str = "take") -> Event:
        """Give a thing into a person's hands, where the person is."""
        self.holder_of[thing] = person
        return self.record(Event(kind, person, thing, place=self.place_of.get(person)))

    def give(self, person: str, thing: str, other: str) -> Event:
        """Hand a thing over."""
        self.holder_of[thing] = other
        return self.record(Event("give", person, thing, other))

    def put(self, person: str, thing: str, holder: str, kind: str = "put") -> Event:
        """Put a thing into a container or down at a place."""
        self.holder_of[thing] = holder
        return self.record(Event(kind, person, thing, place=holder))

    def feel(self, person: str, feeling: str) -> None:
        """Set how a person feels."""
        self.feeling_of[person] = feeling

    def where(self, thing: str) -> str:
        """Return the place where a thing is, wherever it is held."""
        spot = self.holder_of[thing]
        return self.place_of.get(spot, spot)

    def things_of(self, holder: str) -> list[str]:
        """List what a person, container or place has, in the order in which the things came into the world."""
        return [thing for thing, owner in self.holder_of.items() if owner == holder]

    def holders(self, thing: str) -> list[str]:
        """List the people who have had a thing, in order."""
        people: list[str] = []
        for event in self.history:
            if event.thing == thing and event.kind in ("take", "give", "find"):
                people.append((event.other if event.kind == "give" else event.actor) or "")
        return people
