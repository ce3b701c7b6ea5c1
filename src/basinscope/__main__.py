"""`python -m basinscope` is the command line."""

from basinscope.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
