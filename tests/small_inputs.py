"""A row of a table, a sound and a text, and functions of them."""
import numpy as np

# a row, a background and a function of rows
ROW = np.array([1., -2., 3.])
BACKGROUND = np.array([
    [0., 1., 2.],
    [5., -1., 0.],
    [2., 2., 2.],
    [-1., 0., 4.]])


def curved(rows):
    """A function [n] of rows [n, 3] with an interaction."""
    first, second, third = rows.T
    wave = np.sin(first)
    return wave*second + third**2


# half a second of two tones
SECONDS = np.arange(4000)/8000


def tone(frequency, amplitude):
    """A sine [4000] at 8 kHz."""
    angle = 2*np.pi*frequency*SECONDS
    return amplitude*np.sin(angle)


LOW = tone(440, .3)
HIGH = tone(3000, .2)
BOTH = LOW + HIGH


def whole(d):
    """The mask of all features, [1, d]."""
    return np.ones((1, d), bool)
