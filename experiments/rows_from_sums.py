"""Rows, from their numbers and sums in many parts of the plane: a step of the attack on iterated centroids.

The borders between centroids, of all iterations of all starts, cut the plane into cells. A row is in one cell. The
number and the sum of the rows are known of many unions of cells. So the numbers and the sums of the cells solve a
system of linear equations; the numbers are whole, and the mean of a cell's rows lies in the convex hull of its points.
"""

import contextlib
import itertools
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from centroids_in_the_clear import Iteration, Run
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_array, coo_array, csr_array, diags_array, eye_array
from scipy.spatial import ConvexHull, QhullError
from sums_from_centroids import Seen

MOST_SETS: Final = 5_000
"""Sets of points that are tried in a cell; with more it is left out."""
_TOOK_TOO_LONG: Final = 1
CLOSE: Final = 1e-4
"""Of two numbers of a solution that are equal."""

View = list[list[tuple[Iteration, Seen]]]
"""Of each start the iterations, and what is known of them."""


# --------------------------------------------------------------------------------------------- one row that moves alone


def rows_alone(run: Run, view: View) -> Counter[int]:
    """The points, by number, from which a row seems to have moved alone.

    From one iteration to the next one cluster has one row more, another one row less, and the others are the same, in
    sums, too. The row was nearest to the one centroid before, and to the other after.
    """
    found = set()
    for (before, seen), (after, then) in itertools.chain.from_iterable(map(itertools.pairwise, view)):
        change, moved = then.sizes - seen.sizes, then.sums - seen.sums
        if not (seen.known & then.known).all() or sorted(change[change != 0]) != [-1, 1]:
            continue
        source, target = int(change.argmin()), int(change.argmax())
        points = np.flatnonzero((run.points == moved[target]).all(axis=1))
        nothing_else = moved.any(axis=1).sum() <= 2 and (moved[source] == -moved[target]).all()
        if nothing_else and len(points):
            point = int(points[0])
            if before.of_point[point] == source and after.of_point[point] == target:
                found.add(point)
    return Counter(found)


# ------------------------------------------------------------------------------------------------------------- all rows


@dataclass(frozen=True)
class Cells:
    """The cells, and what is known of the others' rows in them.

    Attributes
    ----------
    members : list of (m,) ints
        The points of each cell, by number. Cells that are known to be empty are left out.
    unions : (equations, cells) floats, sparse
        Of most unions what they differ by from that of the same cluster one iteration before: fewer cells.
    known : (equations, 1 + d)
        Number and sum of the rows in each union.
    """

    members: list[np.ndarray]
    unions: csr_array
    known: np.ndarray

    @classmethod
    def of(cls, run: Run, view: View) -> "Cells":
        """The cells of a view."""
        flat = list(itertools.chain.from_iterable(view))
        labels = np.stack([np.where(seen.known, np.arange(len(seen.known)), -1)[it.of_point] for it, seen in flat])
        empty = np.stack([(seen.known & (seen.sizes == 0))[it.of_point] for it, seen in flat])
        live = np.flatnonzero(~empty.any(axis=0))
        labels, cell = np.unique(labels[:, live].astype(np.int8), axis=1, return_inverse=True)
        members = np.split(live[np.argsort(cell, kind="stable")], np.cumsum(np.bincount(cell))[:-1])
        unions = [np.ones(len(members))]
        known = [np.concatenate([[run.n - len(run.own)], run.totals - run.own.sum(axis=0)])]
        at = iter(labels)
        for start in view:
            before = None
            for (_, seen), of_cell in zip(start, at, strict=False):
                for j in np.flatnonzero(seen.known)[: len(seen.known) - 1]:  # the last one is what the others leave
                    union, numbers = (of_cell == j).astype(float), seen.numbers[j]
                    if before is not None and before[0].known[j]:
                        union, numbers = union - (before[1] == j), numbers - before[0].numbers[j]
                    unions.append(union)
                    known.append(numbers)
                before = seen, of_cell
        return cls(members, csr_array(np.stack(unions)), np.stack(known))

    def agree_with(self, points: np.ndarray, others: np.ndarray) -> bool:
        """Whether so many rows at each of the points solve the equations."""
        numbers = np.stack([np.append(others[of].sum(), others[of] @ points[of]) for of in self.members])
        return sum(others[of].sum() for of in self.members) == others.sum() and bool(
            np.array_equal(self.unions @ numbers, self.known)
        )


def all_rows(run: Run, view: View, chance: np.random.Generator, seconds: float) -> Counter[int]:
    """How many rows are at each point, by its number, as far as two solutions agree.

    The two are as far apart as possible in a random direction.

    Parameters
    ----------
    run : Run
    view : View
    chance : Generator
    seconds : float
        For one solution. Where the farthest one is not found by then, the best one so far is taken.
    """
    cells = Cells.of(run, view)
    assert cells.agree_with(run.points, run.others), "the true rows solve the equations"
    problem = _Problem(cells, run.points)
    direction = chance.random(problem.variables)
    one, other = (problem.solution(sign * direction, seconds) for sign in (1, -1))
    found: Counter[int] = Counter()
    if one is not None and other is not None:
        (numbers, sums), (its_numbers, its_sums) = one, other
        same = (np.abs(numbers - its_numbers) < CLOSE) & (np.abs(sums - its_sums) < CLOSE).all(axis=1)
        for cell in np.flatnonzero(same & (numbers > 0.5)):
            members = cells.members[cell]
            found += sure_rows(run.points[members], members, round(numbers[cell]), np.rint(sums[cell]))
    return found


def sure_rows(points: np.ndarray, names: np.ndarray, rows: int, total: np.ndarray) -> Counter[int]:
    """What all multisets of so many of the points, (m, d), with this total have in common, by the points' names."""
    if math.comb(len(points) + rows - 1, rows) > MOST_SETS:
        return Counter()
    sets = np.array(list(itertools.combinations_with_replacement(range(len(points)), rows)))
    fitting = sets[(points[sets].sum(axis=1) == total).all(axis=1)]
    if not len(fitting):
        return Counter()
    times = np.stack([np.bincount(one, minlength=len(points)) for one in fitting]).min(axis=0)
    return Counter({int(names[at]): int(times[at]) for at in np.flatnonzero(times)})


class _Problem:
    """The equations, for numbers of cells and for weights of their corners."""

    def __init__(self, cells: Cells, points: np.ndarray) -> None:
        corners = [of[list(_corners(points[of]))] for of in cells.members]
        self._scale = float(points.max())  # the solver loses digits of large numbers
        self._at = points[np.concatenate(corners)] / self._scale  # (corners, d)
        cell = np.repeat(np.arange(len(corners)), [len(each) for each in corners])
        self._of_cell = coo_array((np.ones(len(cell)), (cell, np.arange(len(cell))))).tocsr()
        self._cells, d = len(corners), points.shape[1]
        sums = [[None, cells.unions @ self._of_cell @ diags_array(self._at[:, c])] for c in range(d)]
        rows = [[cells.unions, None], *sums, [-eye_array(self._cells), self._of_cell]]
        known = cells.known / np.array([1.0] + [self._scale] * d)
        equal = np.concatenate([known.T.ravel(), np.zeros(self._cells)])
        self._equations = LinearConstraint(block_array(rows).tocsc(), equal, equal)
        self.variables = self._cells + len(cell)

    def solution(self, direction: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Numbers, (cells,), and sums, (cells, d), of a solution that is far in a direction; None if none is found."""
        whole = np.arange(self.variables) < self._cells
        for integrality in (whole, whole & False):  # where it takes too long, parts of rows will do
            for presolve in (True, False):  # with it the solver takes some equations to have no solution
                found = self._found(direction, integrality, {"time_limit": seconds, "presolve": presolve})
                if found.x is not None:
                    sums = self._of_cell @ (found.x[self._cells :, None] * self._at) * self._scale
                    return found.x[: self._cells], sums
                if found.status == _TOOK_TOO_LONG:
                    break
        return None

    def _found(self, direction: np.ndarray, integrality: np.ndarray, options: dict[str, Any]) -> Any:
        with _silence():
            return milp(
                direction, constraints=self._equations, integrality=integrality, bounds=Bounds(0), options=options
            )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The solver prints on the process's standard output, and cannot be asked not to."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _corners(points: np.ndarray) -> Iterator[int]:
    """The numbers of points, (m, d), whose convex hull is that of all."""
    if points.shape[1] == 1:
        return iter({int(points.argmin()), int(points.argmax())})
    if len(points) > points.shape[1] + 1:
        try:
            return iter(ConvexHull(points).vertices.tolist())
        except QhullError:  # all on a line
            order = np.lexsort(points.T)
            return iter((int(order[0]), int(order[-1])))
    return iter(range(len(points)))
