"""Bad values by the kind of an argument, and good ones in other clothes."""
import numpy as np
import pandas as pd
import torch

D = 9
SIZE = 48
IMAGE = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
SEGMENTS = (torch.arange(SIZE)//16)[:, None]*3 + torch.arange(SIZE)//16
SLOPES = np.linspace(-1, 1, D)


def scores(masks):
    """Two scores of masks [n, 9], which are no probabilities."""
    y = masks @ SLOPES
    return np.stack([y, 1 - y], 1)


def as_it_is(masks): return scores(masks)


NAN9, INF9 = np.full(D, np.nan), np.full(D, np.inf)
NOTHING = np.array([None]*D, object)
COUNT = [None, "3", -1, 1.5, np.nan, np.inf, True, [3], 10**30, b"3"]
SEED = [None, "0", -1, 1.5, np.nan, True, [0], 2**200]
REAL = [None, "1", np.nan, np.inf, -np.inf, [1.], True, 1j]
POSITIVE = [*REAL, -1, 0]
MARGIN = [*REAL, -1]
SHARE = [None, "1", np.nan, np.inf, -1, 0, 2, [.5], True]


class NoRepr:
    """What cannot even be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


VECTOR = [
    NoRepr(), np.ma.masked_array(np.ones(D), np.arange(D) == 3), pd.Series(list("abcdefghi")),
    np.array(["2020"]*D, "datetime64[Y]"), None, "abc", 3, [], NAN9.tolist(), INF9.tolist(),
    list("abcdefghi"), np.ones((D, 2)),
    np.ones(D)*(1 + 1j), NOTHING, [[1], [1, 2]], {"a": 1}]
OF_ANOTHER_LENGTH = [np.ones(D + 1)]
MAP = [
    None, "abc", 3, [], np.ones(D), np.full((64, 64), np.nan), np.full((64, 64), np.inf),
    np.ones((64, 64))*1j, np.array([["a"]*64]*64), np.ones((2, 64, 64))]
IMAGES_OF_ANOTHER_KIND = [
    NoRepr(), IMAGE.to_sparse(),
    None, "abc", 3, [], np.zeros((3, 0, 0), np.float32), np.zeros((SIZE, SIZE, 3), np.float32),
    (IMAGE*255).byte(), IMAGE*255, IMAGE - 1,
    IMAGE*np.nan, torch.full_like(IMAGE, np.inf), IMAGE[None], IMAGE.to(torch.complex64),
    np.full((3, SIZE, SIZE), None, object)]
LABELS = [
    None, "abc", 3, [], SEGMENTS.float(), SEGMENTS + 1, SEGMENTS*2, -SEGMENTS, SEGMENTS[None],
    SEGMENTS.bool(), np.full((SIZE, SIZE), None, object), torch.full((SIZE, SIZE), 2**40)]
TABLE = [
    None, "abc", 3, [], [np.nan]*16, np.ones(15), np.ones((4, 4)), list("abcdefghijklmnop")]
ROWS = [None, "abc", np.ones(5), np.full((4, 5), np.nan), np.full((4, 5), np.inf), [["a"]*5]*4]
MASK = [
    None, "abc", True, [], [1, 0, 1, 0, 1, 0, 1, 0, 1], np.ones(D), np.ones((1, D), bool),
    np.ones(D + 1, bool), [None]*D]

BAD = {
    "count": COUNT,
    "target": [None, "0", -1, 99, 1.5, True, [0], np.nan],
    "seed": SEED,
    "real": REAL,
    "positive": POSITIVE,
    "share": SHARE,
    "shares": [value for value in SHARE if not isinstance(value, list)],
    "margin": MARGIN,
    "units": [value for value in VECTOR if getattr(value, "shape", None) != (D, 2)],
    "table_of_points": [
        None, "abc", 3, [], NAN9, pd.DataFrame({"a": [np.nan]}), pd.DataFrame({"a": ["b"]}),
        pd.DataFrame({"a": [1j]}), pd.DataFrame()],
    "path_share": [None, "x", 1, 2, -1, np.nan, [0.]],
    "choice": [None, "nonsense", 3, ["a"], "", np.nan, True, np.array(["a", "b"]), NoRepr()],
    "numbers": [None, "a", np.nan, np.inf, -1, 1j, ["a"], {"a": 1}],
    "vector": [*VECTOR, *OF_ANOTHER_LENGTH],
    "any_vector": VECTOR,
    "point": [None, "abc", [], NAN9.tolist(), INF9.tolist(), list("abcdefghi"),
              np.ones(D)*(1 + 1j), NOTHING, [[1], [1, 2]]],
    "weights": [None, "abc", (1, 2, 3), (-1, 1, 1, 1), [np.nan]*4, 3],
    "areas": ["abc", -np.ones(D)/D, [np.nan]*D, np.ones(3)/3],
    "colour": ["abc", (0, 0), (2, 0, 0), (np.nan,)*3, ("a", "b", "c"), -5., 300.],
    "box": [None, "abc", [0, 0, 4], [4, 4, 0, 0], [np.nan]*4, [0, 0, "a", 4]],
    "mask": MASK,
    "masks": [
        None, "abc", True, [], [[]], np.ones(D, bool), np.ones((2, D)), np.ones((2, D + 1), bool),
        np.ones((0, D), bool), np.ones((2, 2, D), bool), [[None]*D]],
    "stack": [
        None, "abc", np.ones((2, 4, 4)), np.ones((4, 4), bool), np.ones((0, 4, 4), bool)],
    "noise": [
        None, "abc", [], np.ones(D), np.full((2, D), np.nan), np.ones((2, D + 1)),
        np.full((2, D), 1e39)],
    "image": IMAGES_OF_ANOTHER_KIND,
    "image_in_full": IMAGES_OF_ANOTHER_KIND,
    "images": [
        None, "abc", IMAGE, IMAGE[None]*2, (IMAGE[None]*255).byte(), IMAGE[None]*np.nan,
        IMAGE[None].to(torch.complex64)],
    "pixels": [None, "abc", np.ones((3, 3)), np.full((SIZE, SIZE), np.nan)],
    "segments": [*LABELS, SEGMENTS[:16]],
    "segments_of_any_size": LABELS,
    "map": MAP,
    "rows": ROWS,
    "order": [
        None, "abc", 3, [], list(range(D - 1)), [0]*D, [-1, *range(1, D)], np.arange(D)*1.,
        list("abcdefghi"), np.arange(D)[None]],
    "value": [None, 3, "abc", as_it_is],
    "table": TABLE,
    "table_of_classes": [None, "abc", 3, [], [np.nan]*16, np.ones(15), list("abcdefghijklmnop")],
}


# good values in other clothes

def as_list(v): return v.tolist()


def as_tuple(v): return tuple(v)


def as_numpy(v): return v.numpy()


def as_float32(v): return v.astype(np.float32)


def as_half(v): return torch.as_tensor(v).half()


def as_bfloat16(v): return torch.as_tensor(v).bfloat16()


def as_double(v): return torch.as_tensor(v).double()


def as_tensor(v): return torch.as_tensor(v)


def as_learning(v): return torch.as_tensor(v).clone().requires_grad_()


def as_strided(v): return np.repeat(v, 2)[::2]


def as_backwards(v): return v[::-1].copy()[::-1]


def as_fortran(v): return np.asfortranarray(v)


def as_series(v): return pd.Series(v)


def as_frame(v): return pd.DataFrame(v)


def as_big_endian(v): return v.astype(">f8")


def as_read_only(v):
    own = np.array(v)
    own.setflags(write=False)
    return own


def as_channels_last(v): return v.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def as_int32(v): return torch.as_tensor(v).int()


def as_uint8(v): return np.asarray(v).astype(np.uint8)


def as_uint16(v): return np.asarray(v).astype(np.uint16)


def as_uint64(v): return np.asarray(v).astype(np.uint64)


def as_numpy_int(v): return np.int64(v)


def as_numpy_float(v): return np.float32(v)


COARSE = {as_half, as_bfloat16}      # of so few digits that answers are near only
OF_NUMBERS = [
    as_list, as_tuple, as_float32, as_half, as_bfloat16, as_tensor, as_learning, as_strided,
    as_backwards, as_read_only, as_series, as_big_endian]
ODD = {
    "vector": OF_NUMBERS,
    "any_vector": OF_NUMBERS,
    "mask": [as_list, as_tensor, as_strided, as_read_only, as_series],
    "masks": [as_list, as_tensor, as_fortran, as_read_only, as_frame],
    "image": [as_numpy, as_double, as_half, as_bfloat16, as_learning, as_channels_last,
              as_read_only, as_list],
    "segments": [as_numpy, as_int32, as_uint8, as_uint16, as_uint64, as_list, as_read_only],
    "map": [as_float32, as_tensor, as_learning, as_bfloat16, as_fortran, as_read_only, as_list],
    "order": [as_list, as_tensor, as_int32, as_uint8, as_read_only],
    "count": [as_numpy_int, as_uint8, as_tensor],
    "target": [as_numpy_int, as_tensor],
    "seed": [as_numpy_int, as_tensor],
    "positive": [as_numpy_float],
    "real": [as_numpy_float],
    "share": [as_numpy_float],
    "table": [as_list, as_tensor, as_read_only],
}
