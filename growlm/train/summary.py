"""What a training will read, said before it begins."""

from statistics import median

from growlm.train.prepare import Prepared


def training_summary(prepared: Prepared) -> str:
    """Say in one line how many examples and tokens there are, how long, how many are cut, and how often they are read.

    Args:
        prepared: the phase, ready to be trained.

    Returns:
        The line.
    """
    examples, settings = prepared.batches.examples, prepared.settings
    lengths = [len(example.input_ids) for example in examples]
    trained = sum(sum(example.trained) for example in examples)
    cut = f"{prepared.num_truncated:,} are cut" if prepared.num_truncated else "none is cut"
    per_step = prepared.batches.batch_size * int(settings["accumulate_grad_batches"])
    epochs = int(settings["steps"]) * per_step / len(examples)
    return (
        f"{len(examples):,} training examples of {min(lengths)} to {max(lengths)} tokens (median {median(lengths):g}), "
        f"{cut}; {sum(lengths):,} tokens, {trained:,} of them trained; {settings['steps']:,} steps of {per_step} "
        f"examples: {epochs:.1f} epochs"
    )
