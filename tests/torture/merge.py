"""Several runs' folders as one report: the parts of a night, in any order."""

import pathlib

from torture.state import RunFolder


def merge(folders: list) -> tuple:
    """(what the runs were, {name: RowResult}). A part that is given twice, or of another night, is refused."""
    runs, results, seen = [], {}, set()
    if len({pathlib.Path(path).resolve() for path in folders}) < len(folders):
        raise ValueError("a folder was given twice")
    for path in folders:
        folder = RunFolder(path)
        asked = folder.asked()
        part = tuple(asked["part"]) if asked["part"] else None
        if part is not None:
            if part in seen:
                raise ValueError(f"{path}: part {part[0]}/{part[1]} was given twice")
            if seen and next(iter(seen))[1] != part[1]:
                raise ValueError(f"{path}: part {part[0]}/{part[1]} is of another division of the night")
            seen.add(part)
        runs.append(asked)
        for result in folder.results():
            results[result.name] = results[result.name].merged(result) if result.name in results else result
    if len({asked["short"] for asked in runs}) > 1:
        raise ValueError("a short run is no part of a night")
    seeds = {asked["seed"] for asked in runs if asked["part"]}
    if len(seeds) > 1:
        raise ValueError(f"the parts are of different nights: seeds {', '.join(map(str, sorted(seeds)))}")
    programs = {asked["vmproxy"] for asked in runs}
    if len(programs) > 1:
        raise ValueError(f"the parts ran different programs: {'; '.join(sorted(programs))}")
    return runs, results


def missing_parts(runs: list) -> list:
    """The parts of the night that are not there."""
    parts = {tuple(asked["part"]) for asked in runs if asked["part"]}
    if not parts:
        return []
    count = next(iter(parts))[1]
    return [f"{index}/{count}" for index in range(1, count + 1) if (index, count) not in parts]


def missing_counts(rows: list, results: dict) -> list:
    """Of what a night asks for, what no part was asked for: one that was broken off, or ran with --row or --count."""
    return [f"{row.name}: {results[row.name].asked:,} of {row.night[0]:,} {row.unit} were asked for" for row in rows
            if row.name in results and not results[row.name].not_run and results[row.name].asked < row.night[0]]
