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
) -> None:
    """Talk with a stack, in a terminal or through a pipe (one line a turn).

    In a terminal, ``/reset`` forgets the conversation, ``/path NAME`` changes the path, and an empty line or Ctrl-D
    ends.

    Args:
        stack: the stack's folder.
        path: the path to use: ``base``, a module's name, or names joined by ``+``; left out: the newest module's.
        base: where the base is now, if not where the manifest says.
        max_new_tokens: greatest number of tokens of an answer.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        seed: seed of the drawing.
    """
    from growlm.show.talk import Conversation, open_stack

    conversation = Conversation(open_stack(stack, base, path), max_new_tokens, temperature, seed)
    interactive = sys.stdin.isatty()
    if interactive:
        print(f"path {conversation.path_text()}; /reset, /path NAME, an empty line ends")
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
        elif line.startswith("/path"):
            print(f"path {conversation.change_path(line.removeprefix('/path').strip() or 'base')}")
        else:
            for piece in conversation.say(line):
                print(piece, end="", flush=True)
            print()
