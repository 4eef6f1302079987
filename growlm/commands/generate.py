"""``growlm generate``."""

from pathlib import Path

POSITIONAL = ("stack", "prompt")


def generate(
    stack: str = "checkpoints/stack",
    prompt: str = "Once upon a time",
    path: str | None = None,
    base: str | None = None,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    show_path: bool = False,
    fuse: bool = False,
) -> None:
    """Continue a text with a stack, or with a bare base.

    Args:
        stack: the stack's folder, or the name of a shipped base.
        prompt: the beginning of the text.
        path: the path to use: ``base``, a module's name, or names joined by ``+``; by default the router chooses, or,
            in a stack without one, the newest module's is used.
        base: where the base is now, if not where the manifest says.
        max_new_tokens: greatest number of tokens to add; less where the base's context ends before.
        temperature: 0 always takes the likeliest token; above, tokens are drawn.
        seed: seed of the drawing.
        show_path: print the path, on standard error.
        fuse: run the modules of --path as one change of weights, right for the inputs of each one's own skill, instead
            of adding up what they change.
    """
    import sys

    from growlm.manifest.path import format_path
    from growlm.show.talk import check_limits, open_stack, routes, stream_text
    from growlm.terminal import printable

    check_limits(max_new_tokens, temperature)
    loaded = open_stack(Path(stack), base, path, fuse)
    print(printable(prompt), end="", flush=True)
    for piece in stream_text(loaded, prompt, max_new_tokens, temperature, seed, routes(loaded, path)):
        print(printable(piece), end="", flush=True)
    print()
    if show_path:
        print(f"path {format_path(loaded.path)}", file=sys.stderr)
