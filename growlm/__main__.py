"""``python -m growlm`` is the command line."""

from growlm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
