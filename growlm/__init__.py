"""growlm: grow a language model skill by skill."""
