"""Draw the pictures of README and site as SVG: ``python docs/drawings.py``; ``--check`` only compares them.

Plain text in, plain text out: no fonts, no scripts, no colours that depend on the reader's theme.
"""

import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
INK, SOFT, LINE, PAPER = "#1f2430", "#5b6472", "#aab2bf", "#ffffff"
BASE, CHAT, MEMORY, ROUTER, OLD = "#dfe3ea", "#2f7ed8", "#e2851d", "#3a9c5f", "#cfd5de"


@dataclass
class Drawing:
    """A picture of a fixed size, in pixels, to which shapes are added from back to front."""

    width: int
    height: int
    title: str
    shapes: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, w: float, h: float, fill: str, label: str = "", ink: str = INK, dashed: bool = False
    ) -> None:
        """Add a rounded rectangle with a centred label."""
        stroke = f'stroke="{ink if dashed else LINE}"' + (' stroke-dasharray="4 3"' if dashed else "")
        self.shapes.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="{fill}" {stroke}/>')
        if label:
            self.text(x + w / 2, y + h / 2 + 5, label, ink, anchor="middle")

    def text(self, x: float, y: float, label: str, ink: str = INK, size: int = 14, anchor: str = "start") -> None:
        """Add one line of text."""
        weight = ' font-weight="600"' if size > 14 else ""
        place = f'x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}"'
        self.shapes.append(f'<text {place} fill="{ink}"{weight}>{escape(label)}</text>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float, ink: str = SOFT) -> None:
        """Add a straight arrow."""
        self.shapes.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{ink}" stroke-width="2" marker-end="url(#tip)"/>'
        )

    def svg(self) -> str:
        """Return the file's text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
        )
        tip = (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
            f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{SOFT}"/></marker></defs>'
        )
        paper = f'<rect width="{self.width}" height="{self.height}" rx="10" fill="{PAPER}"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", tip, paper, *self.shapes, "</svg>"]) + "\n"


def layers(picture: Drawing, x: float, y: float, modules: list[tuple[str, bool]]) -> None:
    """Draw a base of four layers with a column of parts for each module: its colour, and whether it is training."""
    for layer in range(4):
        top = y + 34 * (3 - layer)
        picture.box(x, top, 84, 26, BASE, f"layer {layer + 1}", SOFT)
        for place, (colour, training) in enumerate(modules):
            picture.box(x + 92 + 34 * place, top, 26, 26, PAPER if training else colour, ink=colour, dashed=training)


def growing_stack() -> Drawing:
    """Return the picture of the README: a base, a first module, a second one, and the choice between them."""
    picture = Drawing(1060, 304, "A frozen base gains one module per skill; a router picks the modules for each prompt")
    steps = [
        ("1  A base, frozen", "never changes again", []),
        ("2  Grow chat", "only the new module trains", [(CHAT, True)]),
        ("3  Freeze it, grow memory", "chat keeps its bytes", [(CHAT, False), (MEMORY, True)]),
    ]
    for number, (title, caption, modules) in enumerate(steps):
        x = 24 + 250 * number
        picture.text(x, 38, title, size=16)
        picture.text(x, 60, caption, SOFT)
        layers(picture, x, 82, modules)
        if number:
            picture.arrow(x - 44, 146, x - 14, 146)
    x = 784
    picture.text(x, 38, "4  Ask: a router picks", size=16)
    picture.text(x, 60, "the path of each prompt", SOFT)
    for row, (prompt, path, colours) in enumerate(
        [
            ("Once upon a time", "base", []),
            ("Hello! I am Tom.", "base + chat", [CHAT]),
            ("Who has the ball?", "base + chat + memory", [CHAT, MEMORY]),
        ]
    ):
        y = 82 + 44 * row
        picture.text(x, y + 14, f"“{prompt}”")
        picture.text(x + 14, y + 31, f"→ {path}", SOFT, 13)
        for place, colour in enumerate(colours):
            picture.box(x + 192 + 30 * place, y + 6, 22, 22, colour)
    picture.box(24, 240, 20, 20, BASE)
    picture.text(52, 255, "base, frozen", SOFT)
    picture.box(176, 240, 20, 20, CHAT)
    picture.text(204, 255, "module, frozen", SOFT)
    picture.box(344, 240, 20, 20, PAPER, ink=MEMORY, dashed=True)
    picture.text(372, 255, "module in training", SOFT)
    picture.text(24, 286, "After every phase each frozen tensor, base and modules, is compared byte for byte.")
    return picture


def one_phase() -> Drawing:
    """Return the order of events in a phase."""
    picture = Drawing(980, 150, "A phase: attach, digest, train, digest again, freeze, score, record")
    steps = [
        ("attach", "changes no output"),
        ("digest", "every frozen tensor"),
        ("train", "the module only"),
        ("digest again", "must be equal"),
        ("freeze", "write the module"),
        ("score", "old and new skills"),
        ("record", "manifest, router"),
    ]
    for number, (title, caption) in enumerate(steps):
        x = 16 + 138 * number
        colour = {"train": CHAT, "digest": ROUTER, "digest again": ROUTER}.get(title, BASE)
        picture.box(x, 44, 112, 40, colour, title, PAPER if colour != BASE else INK)
        picture.text(x + 56, 108, caption, SOFT, 12, "middle")
        if number:
            picture.arrow(x - 24, 64, x - 4, 64)
    return picture


def path_of_a_row() -> Drawing:
    """Return how rows of one batch see different modules at a site."""
    picture = Drawing(980, 226, "At one site each row of a batch gets the parts of its own path")
    picture.text(24, 36, "One site of the base, three rows of a batch, each with a path of its own", size=16)
    parts = [("original linear", BASE), ("part of chat", CHAT), ("part of memory", MEMORY)]
    for row, (path, on) in enumerate([("base", 1), ("chat", 2), ("chat, memory", 3)]):
        y = 62 + 52 * row
        picture.text(24, y + 24, f"row {row + 1}, path: {path}")
        picture.arrow(232, y + 19, 262, y + 19)
        for place, (label, colour) in enumerate(parts):
            x = 272 + 190 * place
            if place:
                picture.text(x - 22, y + 25, "+", SOFT, 18, "middle")
            shown, ink = (label, INK if place == 0 else PAPER) if place < on else ("exactly zero", SOFT)
            picture.box(x, y, 146, 38, colour if place < on else PAPER, shown, ink, dashed=place >= on)
        picture.arrow(808, y + 19, 850, y + 19)
        picture.text(862, y + 24, "output")
    return picture


def accuracy_matrix() -> Drawing:
    """Return a small accuracy matrix with what the scores of a comparison read from it."""
    picture = Drawing(1060, 270, "The accuracy matrix R: rows are phases, columns are skills")
    picture.text(24, 36, "R[t, i]: the score on skill i after phase t", size=16)
    skills = ["chat", "memory", "arithmetic"]
    values = [["19", "20", "5"], ["75", "", ""], ["70", "41", ""], ["68", "38", "12"]]
    for column, name in enumerate(skills):
        picture.text(210 + 90 * column, 70, name, SOFT, 13, "middle")
    for row, label in enumerate(["bare base", "after chat", "after memory", "after arithmetic"]):
        picture.text(150, 102 + 42 * row, label, SOFT, 13, "end")
        for column in range(3):
            value = values[row][column]
            fill = OLD if row == 0 else ROUTER if row == column + 1 else "#f0c9a0" if value and row == 3 else BASE
            ink = PAPER if fill == ROUTER else INK
            if value:
                picture.box(170 + 90 * column, 82 + 42 * row, 80, 32, fill, value, ink)
    notes = [
        ("AP (average performance)", "mean of the last row: (68 + 38 + 12) / 3"),
        ("Learning accuracy", "mean of the diagonal, green: (75 + 41 + 12) / 3"),
        ("BWT (backward transfer)", "last row minus diagonal, all skills but the last:"),
        ("", "((68 - 75) + (38 - 41)) / 2 = -5"),
        ("Forgetting", "best score so far minus the last one, same skills"),
    ]
    for number, (term, text) in enumerate(notes):
        if term:
            picture.text(470, 88 + 32 * number, term, INK)
        picture.text(700, 88 + 32 * number, text, SOFT, 13)
    picture.text(24, 258, "The numbers are an example.", SOFT, 12)
    return picture


PICTURES = {
    "growing-stack": growing_stack,
    "phase": one_phase,
    "site": path_of_a_row,
    "accuracy-matrix": accuracy_matrix,
}


def main() -> int:
    """Write the pictures, or with ``--check`` return 1 if one of the files differs."""
    ASSETS.mkdir(exist_ok=True)
    stale = []
    for name, draw in PICTURES.items():
        path, text = ASSETS / f"{name}.svg", draw().svg()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"{', '.join(stale)} differ from docs/drawings.py: run python docs/drawings.py")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
