"""Bad values by kind, and one attempt: an error of ours that names the argument, or else wrong."""
import traceback

import numpy as np
import torch

D = 4


def f(masks):
    """A function of masks."""
    return masks.sum(1)


# no single value

NO_COUNTS = [None, "3", 1.5, np.nan, np.inf, True, [3], 10**30, b"3", 1j, f, torch.ones(2)]
NO_SEEDS = [-1, *NO_COUNTS]
NO_NUMBERS = [None, "1", np.nan, np.inf, -np.inf, [1.], True, 1j, f]
NO_FUNCTIONS = [None, 3, np.nan, [f], {"f": f}, torch.ones(2), object()]

# no text

TEXT_IN_AN_ARRAY = np.array(["a film"])
BLANK = ["", " \n\t", "\u3000"]
HALF_A_CHARACTER = "half \ud800"
NO_TEXTS = [None, 3, b"a film", f, ["a film"], TEXT_IN_AN_ARRAY, *BLANK, HALF_A_CHARACTER]

# no masks of three features

NO_ARRAYS = [None, "abc", True, 3, [], [[]]]
ONE_MASK = [True]*3
FOUR_FEATURES = np.ones((2, 4), bool)
NO_ROWS = np.ones((0, 3), bool)
THREE_DIMENSIONS = np.ones((2, 2, 3), bool)
OTHER_SHAPES = [FOUR_FEATURES, NO_ROWS, THREE_DIMENSIONS]
FLOATS = np.ones((2, 3))
WHOLE = np.ones((2, 3), int)
COMPLEX = np.ones((2, 3), complex)
BFLOATS = torch.ones(2, 3, dtype=torch.bfloat16)
OBJECTS = [[None]*3]
LETTERS = [["a"]*3]
OTHER_TYPES = [FLOATS, WHOLE, COMPLEX, BFLOATS, OBJECTS, LETTERS]
MASKS_OF_3 = [*NO_ARRAYS, ONE_MASK, *OTHER_SHAPES, *OTHER_TYPES]

# no scores of D features: of another shape, of another type, not finite

RAGGED = [[1], [1, 2]]
CUBE = np.ones((2, D, 2))
ONE_SCORE_MORE = np.ones(D + 1)
IMAGINARY = np.ones(D)*1j
MISSING = np.array([None]*D, object)
CHARACTERS = list("abcd")
CHARACTER_ARRAY = np.array(["a"]*D)
NANS = [np.nan]*D
INFINITE = [np.inf]*D
BFLOAT_NANS = torch.full((D,), torch.nan, dtype=torch.bfloat16)
NO_VECTORS = ["abc", [], RAGGED, CUBE, NANS, INFINITE, BFLOAT_NANS, IMAGINARY, MISSING, f]
NO_VECTORS += [CHARACTERS, CHARACTER_ARRAY]
NO_SCORES = [None, 3, ONE_SCORE_MORE, *NO_VECTORS]


def enter(cases, **bad):
    """Decorate a function of good arguments: enter the bad values of each in a table of cases.

    Where `bad` is seed=NO_SEEDS, each of NO_SEEDS will be given as the argument `seed`.
    """
    def entered(function):
        for argument, values in bad.items():
            case = f"{function.__name__}.{argument}"
            assert case not in cases, case
            cases[case] = function, argument, values
        return function

    return entered


def shown(value):
    """A value in a few words."""
    shape = getattr(value, "shape", None)
    if not shape: return repr(value)[:60]
    kind = type(value).__name__
    return f"{kind}{tuple(shape)}"


def told(error):
    """An error in a line."""
    kind = type(error).__name__
    words = str(error)[:160]
    return f"{kind}: {words}"


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
        is_named = argument in words or "allowed" in words
        is_refused = is_named and is_ours(error)
        outcome = "refused" if is_refused else "wrong"
        tally.add(outcome, f"{what}: {told(error)}")
    except Exception as error:
        tally.add("wrong", f"{what}: {told(error)}")
    else:
        is_right = right is not None and right(got)
        outcome = "right" if is_right else "wrong"
        tally.add(outcome, f"{what}: gives {shown(got)}")
