"""``growlm grow``."""

RAW = True


def grow(arguments: list[str]) -> int | None:
    """Teach the stack a new skill: attach a module, train it alone, prove that nothing else moved, freeze it.

    Args:
        arguments: the words after ``growlm grow``.

    Returns:
        None.
    """
    from growlm.cli.help import grow_help
    from growlm.cli.phase import grow_command
    from growlm.show.report import print_grown

    if not arguments or arguments[0] in ("-h", "--help"):
        print(grow_help())
    elif (grown := grow_command(arguments)) is not None:
        print_grown(grown)
    return None
