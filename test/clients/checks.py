"""Checks with names: each prints one line of JSON, with what went wrong or null."""

import asyncio
import inspect
import json
import sys
import traceback

CHECKS = []


def check(name):
    def add(function):
        CHECKS.append((name, function))
        return function

    return add


def run_checks():
    """Each check is called with the server's host:port, whatever came of the one before."""
    for name, function in CHECKS:
        try:
            result = function(sys.argv[1])
            if inspect.iscoroutine(result):
                asyncio.run(result)
            wrong = None
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            wrong = f"{type(error).__name__} at {where.name}:{where.lineno}: {error}"
        print(json.dumps({"name": name, "wrong": wrong}), flush=True)


def equal(came, expected):
    assert came == expected, f"{came!r}, expected {expected!r}"
