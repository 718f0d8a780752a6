"""A run's folder: what was asked for, and a file for each row that has ended. A run that was broken off goes on there."""

import json
import os
import pathlib

from torture.row import RowResult


class RunFolder:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.rows = self.path / "rows"
        self.logs = self.path / "logs"

    def open(self, asked: dict) -> list:
        """Makes the folder, or takes it up again; the results that are there. Another run's folder is refused."""
        self.rows.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        file = self.path / "run.json"
        if file.exists():
            known = json.loads(file.read_text())
            different = [name for name in asked if known.get(name) != asked[name]]
            if different:
                raise ValueError(f"{self.path} holds another run ({', '.join(different)} differ): "
                                 "name another folder with --out, or remove it")
        else:
            write_whole(file, json.dumps(asked, indent=1))
        return self.results()

    def results(self) -> list:
        return [RowResult.from_json(json.loads(file.read_text())) for file in sorted(self.rows.glob("*.json"))]

    def keep(self, result: RowResult) -> None:
        write_whole(self.rows / f"{result.name}.json", json.dumps(result.to_json(), indent=1))

    def attempt(self, row: str) -> int:
        """Counts how often a row is begun here: one that was run until it passed says so."""
        folder = self.path / "attempts"
        folder.mkdir(exist_ok=True)
        file = folder / row
        count = 1 + (int(file.read_text()) if file.exists() else 0)
        write_whole(file, f"{count}\n")
        return count

    def forget_logs(self, row: str) -> None:
        for file in self.logs.glob(f"{row}.*"):
            file.unlink()

    def asked(self) -> dict:
        return json.loads((self.path / "run.json").read_text())


def write_whole(file: pathlib.Path, text: str) -> None:
    """Whole or not at all, also when the run is killed."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, file)
