"""Bad values over the public functions: each is refused by name, or right."""
import re
import traceback

import numpy as np
import pandas as pd
import pytest
from attempts import ATTEMPTS
from bad_values import BAD, COARSE, ODD

from xai_repro.checks import shown, to_numpy

# refused by the library's own words: an error that was raised in it, and that names the argument
OWN = re.compile(r"[/\\](xai_repro|hostile)[/\\]")


def refusal(error, argument):
    """What is wrong with an error, or nothing."""
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    if not isinstance(error, (ValueError, TypeError)): return f"{type(error).__name__}: {error}"
    if not OWN.search(where): return f"raised in {where}: {error}"
    is_named = re.search(rf"\b{re.escape(argument)}\b", str(error)) or "allowed" in str(error)
    if not is_named: return f"does not name {argument}: {error}"
    if len(str(error)) > 1500: return f"{len(str(error))} characters"
    return ""


def same(a, b, tolerance):
    """Whether two answers are equal, whatever they are made of."""
    if isinstance(a, dict): return all(same(a[key], b[key], tolerance) for key in a)
    if isinstance(a, (tuple, list)):
        return all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, (str, pd.DataFrame)): return str(a) == str(b)
    try:
        first, second = (np.asarray(to_numpy(answer), float) for answer in (a, b))
    except (TypeError, ValueError):
        return str(a) == str(b)
    if first.shape != second.shape: return False
    return np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True)


def try_bad(tally, name, argument, value):
    """A bad value must be refused."""
    what = f"{name}({argument}={shown(value)})"
    try:
        answer = ATTEMPTS[name].function(**{argument: value})
    except Exception as error:
        fault = refusal(error, argument)
        tally.add("wrong" if fault else "refused", f"{what}: {fault}")
    else:
        tally.add("wrong", f"{what} is accepted: {shown(answer)}")


def try_odd(tally, name, argument, make, good, expected):
    """A good value in other clothes gives the right answer, or is refused."""
    what = f"{name}({argument}={make.__name__})"
    try:
        odd = make(good)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return      # this value has no such clothes
    try:
        answer = ATTEMPTS[name].function(**{argument: odd})
    except Exception as error:
        fault = refusal(error, argument)
        tally.add("wrong" if fault else "refused", f"{what}: {fault}")
    else:
        tolerance = 3e-2 if make in COARSE else 2e-5
        right = same(expected, answer, tolerance)
        tally.add("right" if right else "wrong", f"{what} gives {shown(answer)}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ATTEMPTS)
def test_each_is_refused_by_name_or_right(tally, name):
    function, kinds = ATTEMPTS[name]
    code = function.__code__
    arguments = code.co_varnames[:code.co_argcount]
    good = dict(zip(arguments, function.__defaults__, strict=True))
    expected = function()
    for argument, kind_ in kinds.items():
        kind = kind_.removesuffix("?")      # of an argument that may be None
        for value in BAD[kind]:
            if value is None and kind != kind_: continue
            try_bad(tally, name, argument, value)
        for make in ODD.get(kind, []):
            try_odd(tally, name, argument, make, good[argument], expected)
