"""Run one of the scripts, or all: ``python -m tests.stress [NAME ...]``."""

import argparse
import importlib
import pkgutil

import tests.stress


def main(argv=None):
    """Run the scripts that are named, all if none is."""
    names = [module.name for module in pkgutil.iter_modules(tests.stress.__path__)]
    names.remove("__main__")
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    for name in parser.parse_args(argv).names or names:
        if name not in names:
            parser.error(f"there is no script {name!r}; there are {', '.join(names)}")
        print(f"== {name} ==", flush=True)
        importlib.import_module(f"tests.stress.{name}").main()


if __name__ == "__main__":
    main()
