"""Checks of the plugins that a sweep may read, before anything else of its file is.

A name stands once: what a plugin brings must be neither in the package nor in another plugin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from xstilts.config.schema import MODULE
from xstilts.errors import Problem
from xstilts.tasks import known_tasks
from xstilts.tasks.benchmarks import BENCHMARKS, CUSTOM, TAKEN
from xstilts.tasks.catalogue import place_of
from xstilts.tasks.plugins import PluginError, installed_plugins, load_plugin


def plugin_problems(given: Any, where: str) -> Iterator[Problem]:
    """What is wrong with the modules under `plugins`, as the file has them, and with those of
    installed packages. What is no list of modules is the schema's to refuse."""
    named = given if isinstance(given, list) else []
    modules = {
        module: f"{where}: plugins[{i}]"
        for i, module in enumerate(named)
        if isinstance(module, str) and re.search(MODULE, module)
    }
    installed = [module for module in installed_plugins() if module not in modules]
    modules |= {module: f"the installed plugin {module}" for module in installed}
    places = {task.name: place_of(task.name) for task in known_tasks()}
    places |= dict.fromkeys((*BENCHMARKS, *TAKEN, CUSTOM), "a metric")
    for module, here in modules.items():
        try:
            plugin = load_plugin(module)
        except PluginError as error:
            repair = "install it, or set PYTHONPATH, here and on every node"
            yield Problem(here, str(error), f'"{module}"', repair)
            continue
        for name in plugin.tasks:
            if name in places:
                rule = f'brings the task "{name}" in {plugin.place}, which {places[name]} has'
                yield Problem(here, rule, f'"{module}"', "give one of them another name")
        places |= dict.fromkeys(plugin.tasks, plugin.place)
