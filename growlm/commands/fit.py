"""``growlm fit``."""

RAW = True


def fit(arguments: list[str]) -> int | None:
    """Train the same phase as a plain LightningCLI: growlm fit --config recipes/skills/chat.yaml.

    Args:
        arguments: the words after ``growlm fit``.

    Returns:
        None.
    """
    from growlm.cli.phase import PhaseCLI
    from growlm.show.report import print_grown

    cli = PhaseCLI(["fit", *arguments], run=True)
    if cli.grown is not None:
        print_grown(cli.grown)
    return None
