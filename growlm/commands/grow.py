"""``growlm grow``."""

RAW = True


def grow(arguments: list[str]) -> int | None:
    """Teach the stack a new skill: attach a module, train it alone, prove that nothing else moved, freeze it.

    Args:
        arguments: the words after ``growlm grow``.

    Returns:
        None.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_HELP)
        return None
    from growlm.cli.phase import grow_command
    from growlm.show.report import print_grown

    print_grown(grow_command(arguments))
    return None


_HELP = """\
usage: growlm grow --skill NAME [--option value ...]

Teach the stack a new skill: attach a module, train it alone, prove that nothing else moved, freeze it.
An interrupted phase goes on where it was when the same command is run again.

options:
  --skill NAME      recipe or skill to learn (growlm ls skills), or a .jsonl file of your own
  --stack DIR       folder of the stack (default checkpoints/stack); begun if it is not there
  --base NAME       base of a new stack: a shipped one (growlm ls bases), a folder or a Hugging Face id
  --on PATH         what to grow on: all (default), none, or names joined by +
  --module KINDS    kinds of the new module: lora, embedding, block, joined by +, or JSON with options
  --method NAME     continual-learning method (default grow)
  --router NAME     what learns to choose the new module: ridge (default), arrow, or none
  --name NAME       name of the new module (default: the skill's)
  --steps N         training steps
  --seed N          seed of all randomness
  --stories FILE    text to measure the base's retention on (default: TinyWorld stories)
  --restart true    discard an unfinished phase that is in the way
  --config FILE     a recipe by its path, instead of the one that --skill names

and every option of `growlm fit --help`, such as --model.learning_rate 1e-3 or --trainer.accelerator cpu."""
