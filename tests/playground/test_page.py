"""The functions of the playground's page, by node's own test runner."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fastmlp import playground
from fastmlp.playground.features import FEATURES, columns
from fastmlp.playground.pictures import pixels, scaled_pictures

PAGE = Path(playground.__file__).parent / "page"
TESTS = sorted((Path(__file__).parent / "page").glob("*.test.mjs"))
NODE = shutil.which("node") or "node"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not on this machine"
)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_functions(path):
    ran = subprocess.run([NODE, "--test", path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_features_are_those_of_the_server():
    names, n = [*FEATURES], 16
    script = f"""
    import {{ featurePicture }} from "{(PAGE / "logic.js").as_uri()}";
    const pictures = {json.dumps(names)}.map((name) => [...featurePicture(name, {n})]);
    console.log(JSON.stringify(pictures));
    """
    ran = subprocess.run(
        [NODE, "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        check=True,
    )
    ref, _ = scaled_pictures(columns(pixels(n), names))
    # Halves are rounded in two ways.
    comp = np.array(json.loads(ran.stdout))
    np.testing.assert_allclose(comp, ref.astype(int), rtol=0, atol=1)
