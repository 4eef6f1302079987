"""TinyWorld: a small simulated world in the words of TinyStories, from which the procedural skills are rendered."""
