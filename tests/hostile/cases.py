"""Tables of cases: what each is called, and what is tried."""
import pytest


def cases(arguments, table):
    """Parametrise a test by a table: each case has its name and a value, or a tuple of values.

    `arguments` are those of the test: the name's first, as in "kind, content".
    """
    rows = []
    for name, values in table.items():
        row = values if isinstance(values, tuple) else (values,)
        rows.append(pytest.param(name, *row, id=name))
    return pytest.mark.parametrize(arguments, rows)
