"""Import every public module of the installed package."""

import importlib
import pkgutil

import fastmlp

for module in pkgutil.walk_packages(fastmlp.__path__, "fastmlp."):
    if not any(part.startswith("_") for part in module.name.split(".")):
        importlib.import_module(module.name)
        print(module.name)
