"""Check what a wheel and an sdist hold: ``check_dist.py FOLDER FILES``.

FOLDER holds one of each. FILES lists the files of the tree that they were built from,
each followed by a zero byte. The sdist has to hold all of these; the wheel the package,
without the pictures of its examples and without tests.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

PICTURES = "fastmlp/examples/pictures/"


def compare(archive, held, expected):
    """Exit with what is missing from an archive and what it should not hold."""
    missing, unexpected = sorted(expected - held), sorted(held - expected)
    if missing or unexpected:
        sys.exit(f"{archive} lacks {missing} and should not hold {unexpected}.")
    print(f"{archive.name} holds the {len(held)} files that it should.")


def main(folder, files):
    """Check the only wheel and the only sdist of a folder."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    tree = set(files.read_text("utf-8").split("\0")) - {""}
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    compare(sdist, held, tree | {"PKG-INFO"})
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {name for name in tree if name.startswith("fastmlp/")}
    compare(wheel, held, {name for name in package if not name.startswith(PICTURES)})


main(*map(Path, sys.argv[1:]))
