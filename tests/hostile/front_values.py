"""Bad values by kind, and one attempt: an error of ours that names the argument, or else wrong."""
import traceback

import numpy as np
import torch


def f(masks): return masks.sum(1)


NO_COUNTS = [None, "3", 1.5, np.nan, np.inf, True, [3], 10**30, b"3", 1j, f, torch.ones(2)]
NO_SEEDS = [-1, *NO_COUNTS]
NO_NUMBERS = [None, "1", np.nan, np.inf, -np.inf, [1.], True, 1j, f]
NO_TEXTS = [None, 3, b"a film", f, ["a film"], np.array(["a film"]), "", " \n\t", "\u3000",
            "half \ud800"]
NO_FUNCTIONS = [None, 3, np.nan, [f], {"f": f}, torch.ones(2), object()]
MASKS_OF_3 = [
    None, "abc", True, 3, [], [[]], [True]*3, np.ones((2, 3)), np.ones((2, 3), int),
    np.ones((2, 4), bool), np.ones((0, 3), bool), np.ones((2, 2, 3), bool), [[None]*3], [["a"]*3],
    torch.ones(2, 3, dtype=torch.bfloat16), np.ones((2, 3), complex)]
D = 4
NO_SCORES = [
    None, "abc", 3, [], [np.nan]*D, [np.inf]*D, list("abcd"), np.ones((2, D, 2)), np.ones(D + 1),
    np.ones(D)*1j, np.array([None]*D, object), [[1], [1, 2]], np.array(["a"]*D), f,
    torch.full((D,), torch.nan, dtype=torch.bfloat16)]


def shown(value):
    """A value in a few words."""
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}{tuple(shape)}" if shape else repr(value)[:60]


def is_ours(error):
    """Whether an error was raised by the package: the last line that ran is its own."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return "/xai_repro/" in last.filename


def attempt(tally, call, argument, value, right=None):
    """Try one call with a bad value and count what came of it.

    It is refused well by an error of ours, a TypeError or ValueError that names the argument or
    what is allowed; a result is right only where `right` says so of it.
    """
    what = f"{argument} = {shown(value)}"
    try:
        got = call()
    except (TypeError, ValueError) as error:
        words = str(error)
        named = argument in words or "allowed" in words
        ours = is_ours(error)
        tally.add("refused" if named and ours else "wrong",
                  f"{what}: {type(error).__name__}: {words[:160]}")
    except Exception as error:
        tally.add("wrong", f"{what}: {type(error).__name__}: {str(error)[:160]}")
    else:
        accepted = right is not None and right(got)
        tally.add("right" if accepted else "wrong", f"{what}: gives {shown(got)}")
