"""The worked examples in the core's docstrings are rows of tests too."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from shoal_operator import core

MODULES = sorted(module.name for module in pkgutil.walk_packages(core.__path__, f"{core.__name__}."))


@pytest.mark.parametrize("name", MODULES)
def test_worked_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
