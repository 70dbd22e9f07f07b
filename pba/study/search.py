"""The search: Optuna proposes generations of points, and what it proposes depends on nothing but the past.

Generation 0 is the plain alternatives, the corners of the space and evenly spread points. Each later
generation is proposed by a sampler made anew, whose random numbers follow from the study's seed and the
generation's number, and which sees exactly the points of the generations before. So the same study tries the
same points whatever the number of workers, and a killed run goes on as if nothing had happened.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pba.study.definition import THRESHOLD_NAMES, StudyDefinition
from pba.study.space import Point, all_points, distinct_points, first_points

if TYPE_CHECKING:
    import optuna

FIRST_GENERATION: Final = 32
"""Points of generation 0: the plain alternatives, 8 corners, and evenly spread ones."""
GENERATION: Final = 16
"""Points of each later generation: the same for every number of workers."""
ATTEMPTS: Final = 24
"""How often a sampler may propose a known point before an unknown one is drawn at random."""
SMALL_SPACE: Final = 20_000
"""Up to so many points, a space is listed to find what is left of it."""


class Proposal(NamedTuple):
    """A point to try, and what the sampler noted about it (its generation, for NSGA-II)."""

    point: Point
    notes: dict[str, Any]


class Tried(NamedTuple):
    """A point that was tried: its aims, the sampler's notes, and how far it is beyond its limits.

    Attributes
    ----------
    violations : dict of str to float
        For each constraint how far it is broken; 0 or less where it is kept.
    """

    point: Point
    values: tuple[float, ...]
    notes: dict[str, Any]
    violations: dict[str, float] = {}  # noqa: RUF012, nobody changes it


def boundaries(total: int) -> Iterator[tuple[int, int]]:
    """Yield the generations of a search of `total` points as (first number, number after the last)."""
    start, end = 0, min(FIRST_GENERATION, total)
    while start < total:
        yield start, end
        start, end = end, min(end + GENERATION, total)


def propose(
    definition: StudyDefinition, past: Sequence[Tried], generation: int, count: int
) -> list[Proposal]:
    """Return the next generation: `count` points that `past` does not hold.

    Parameters
    ----------
    definition : StudyDefinition
        Space, seed and sampler.
    past : sequence of Tried
        All points of the generations before, in order.
    generation : int
        Number of this generation, from 0.
    count : int
        How many points it has.
    """
    known = {tried.point for tried in past}
    if generation == 0 or definition.sampler == "random":
        found: list[Proposal] = []
        for point in _first_distinct(definition):
            if len(found) == count:
                break
            if point not in known:
                found.append(Proposal(point, {}))
        return found
    return _ask(definition, past, known, generation, count)


def _first_distinct(definition: StudyDefinition) -> Iterator[Point]:
    """Yield each of `first_points` once; where they run dry (a small space), what is left in order."""
    known: set[Point] = set()
    total = distinct_points(definition.with_(points=definition.space_size + 1))
    stream = first_points(definition)
    for point in itertools.islice(stream, None if total > SMALL_SPACE else 4 * SMALL_SPACE):
        if point not in known:
            known.add(point)
            yield point
    for point in all_points(definition):
        if point not in known:
            yield point


def _ask(
    definition: StudyDefinition, past: Sequence[Tried], known: set[Point], generation: int, count: int
) -> list[Proposal]:
    """Let Optuna propose; a point that is known is handed back as failed, and it proposes again."""
    import optuna

    generator = random.Random(f"{definition.seed}/{generation}")
    study = in_memory_study(definition, past, make_sampler(definition, generator.getrandbits(32)))
    distributions = distributions_of(definition)
    found: list[Proposal] = []
    known = set(known)
    while len(found) < count:
        for _ in range(ATTEMPTS):
            trial = study.ask(distributions)
            point = whole_point(definition, trial.params)
            if point not in known:
                noted = study._storage.get_trial(trial._trial_id).system_attrs
                notes = {key: value for key, value in noted.items() if not key.startswith("constraints")}
                found.append(Proposal(point, notes))
                break
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            found.append(Proposal(_draw_unknown(definition, known, generator), {}))
        known.add(found[-1].point)
    return found


def _draw_unknown(definition: StudyDefinition, known: set[Point], generator: random.Random) -> Point:
    """Return a point that was not tried yet, drawn at random (there is one: see `distinct_points`)."""
    from pba.study.space import value_at

    if definition.space_size <= SMALL_SPACE:
        return generator.choice([point for point in all_points(definition) if point not in known])
    ranges = [definition.space[name] for name in THRESHOLD_NAMES]
    while True:
        point = Point(*(value_at(item, generator.random()) for item in ranges))
        if point not in known:
            return point


def make_sampler(definition: StudyDefinition, seed: int) -> optuna.samplers.BaseSampler:
    """Return the study's sampler with its random numbers at `seed`."""
    import optuna

    if definition.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=2 * GENERATION, seed=seed)
    with warnings.catch_warnings():
        # Optuna calls `multivariate` and `constant_liar` experimental; the vectors of the tests hold them.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=0, seed=seed
        )


def distributions_of(definition: StudyDefinition) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return the space as the samplers see it: real numbers, half a page wider on either side.

    `whole_point` makes whole numbers of them. Integers of Optuna's own would be the same search, but cost
    TPE four times the time: it integrates its kernels over each one.
    """
    import optuna

    return {
        name: optuna.distributions.FloatDistribution(item.low - 0.5, item.high + 0.5, log=item.log)
        for name, item in ((name, definition.space[name]) for name in THRESHOLD_NAMES)
    }


def whole_point(definition: StudyDefinition, params: dict[str, Any]) -> Point:
    """Return the point of whole numbers that is nearest to a sampler's real ones."""
    nearest = ((definition.space[name], round(params[name])) for name in THRESHOLD_NAMES)
    return Point(*(min(max(value, item.low), item.high) for item, value in nearest))


def in_memory_study(
    definition: StudyDefinition, past: Sequence[Tried], sampler: optuna.samplers.BaseSampler
) -> optuna.Study:
    """Return a study in memory that knows exactly `past`."""
    import optuna

    quiet()
    study = optuna.create_study(directions=[aim.direction for aim in definition.aims], sampler=sampler)
    study.add_trials([frozen_trial(definition, tried) for tried in past])
    return study


def frozen_trial(definition: StudyDefinition, tried: Tried) -> optuna.trial.FrozenTrial:
    """Return a tried point as a finished trial, for a sampler.

    A plain alternative may lie outside the space; it then counts as the nearest point inside, which is all
    that a sampler can be told.
    """
    import optuna

    inside = whole_point(definition, tried.point._asdict())
    return optuna.trial.create_trial(
        params={name: float(value) for name, value in inside._asdict().items()},
        distributions=distributions_of(definition),
        values=list(tried.values),
        system_attrs=dict(tried.notes),
        constraints=tried.violations or None,
    )


def quiet() -> None:
    """Keep Optuna's own messages off the screen; progress is told by `pba.study.progress`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
