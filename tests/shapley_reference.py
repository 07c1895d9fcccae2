"KernelSHAP's weight by integer binomials, independent of the library's log-gamma."
from math import comb


def shapley_weight(d: int, k: int) -> float:
    return 1e6 if k in (0, d) else (d - 1)/(comb(d, k)*k*(d - k))
