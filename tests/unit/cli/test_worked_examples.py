"""The examples in the docstrings of the command line's pure modules are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import shoal_cli

MODULES = [module.name for module in pkgutil.walk_packages(shoal_cli.__path__, "shoal_cli.")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_worked_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
