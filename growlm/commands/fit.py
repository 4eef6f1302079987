"""``growlm fit``."""

RAW = True


def fit(arguments: list[str]) -> int | None:
    """Train the same phase as a plain LightningCLI: growlm fit --config recipes/skills/chat.yaml.

    Args:
        arguments: the words after ``growlm fit``.

    Returns:
        None.
    """
    from growlm.cli.help import fit_help
    from growlm.cli.phase import run_phase
    from growlm.show.report import print_grown

    if arguments[:1] in (["-h"], ["--help"]):
        print(fit_help())
    elif (grown := run_phase(arguments)) is not None:
        print_grown(grown)
    return None
