"""The command line: ``python -m fastmlp.examples NAME [--out FILE.png]``."""

import argparse

from fastmlp.examples import NAMES, load, purpose
from fastmlp.kernels import did_you_mean


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fastmlp.examples",
        description="Tasks and the lectures' networks.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="an example of --list")
    parser.add_argument("--out", metavar="FILE.png", help="draw a picture into it")
    parser.add_argument("--list", action="store_true", help="name the examples")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run one example, or list them.

    Parameters
    ----------
    arguments : list of str, default=None
        None: those of the command line.
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.list or args.name is None:
        width = max(map(len, NAMES))
        for name in NAMES:
            print(f"{name:{width}}  {purpose(name)}")
        return
    if args.name not in NAMES:
        hint = did_you_mean(args.name, NAMES)
        parser.error(f"no example {args.name!r}.{hint} Known: {', '.join(NAMES)}.")
    module = load(args.name)
    print(purpose(args.name))
    found = module.run()
    if args.out is not None:
        module.draw(found).savefig(args.out, dpi=120)
        print(f"drawn: {args.out}")


if __name__ == "__main__":
    main()
