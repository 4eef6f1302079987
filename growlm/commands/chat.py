"""``growlm chat``."""

import sys
from pathlib import Path


def chat(
    stack: Path = Path("checkpoints/stack"),
    path: str | None = None,
    base: str | None = None,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    show_path: bool = False,
    fuse: bool = False,
) -> None:
    """Talk with a stack, in a terminal or through a pipe (one line a turn).

    The stack's router chooses the modules for every turn, unless a path is given. ``/reset`` forgets the conversation,
    ``/path`` shows the path of the last turn, ``/path NAME`` changes it, ``/path auto`` lets the router choose again.
    In a terminal, an empty line or Ctrl-D ends.

    Args:
        stack: the stack's folder.
        path: the path to use: ``base``, a module's name, or names joined by ``+``; left out: the router
            chooses, or, in a stack without one, the newest module's.
        base: where the base is now, if not where the manifest says.
        max_new_tokens: greatest number of tokens of an answer.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        seed: seed of the drawing.
        show_path: tell the path of every turn, on standard error.
        fuse: let the modules of --path run as one change of weights, right for the inputs of each one's own skill,
            instead of adding up what they change.
    """
    from growlm.show.talk import Conversation, open_stack, routes

    loaded = open_stack(stack, base, path, fuse)
    conversation = Conversation(loaded, max_new_tokens, temperature, seed, routes(loaded, path))
    interactive = sys.stdin.isatty()
    if interactive:
        print(f"path {conversation.path_text()}; /reset, /path, /path NAME, an empty line ends")
    while True:
        try:
            line = input("you> " if interactive else "").strip()
        except EOFError:
            break
        if not line:
            if interactive:
                break
            continue
        if line == "/reset":
            conversation.reset()
        elif line == "/path":
            print(f"path {conversation.path_text()}")
        elif line.startswith("/path "):
            print(f"path {conversation.change_path(line.removeprefix('/path').strip())}")
        else:
            for piece in conversation.say(line):
                print(piece, end="", flush=True)
            print()
            if show_path:
                print(f"path {conversation.path_text()}", file=sys.stderr)
