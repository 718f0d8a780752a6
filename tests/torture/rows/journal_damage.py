"""A journal whose files were damaged: it says so, or everything acknowledged is there. Never silence."""

from torture.row import Row
from torture.rows.programs import called


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program("journal_damage")
    kinds = {}

    def command(count, call):
        return [program, "--rounds", str(count), "--seed", str(seed % 1_000_000_000 + call)]
    called(context, budget, result, command, r"(\d+) damaged journals, (\d+) silent", 200, 0.3)
    for line in (context.logs / f"{result.name}.log").read_text(errors="replace").splitlines():
        words = line.split()  # "flip 34 detected 20 exact 14"
        if len(words) == 6 and words[2::2] == ["detected", "exact"]:
            kinds[words[0]] = [known + int(word) for known, word in zip(kinds.get(words[0], [0, 0, 0]), words[1::2])]
    for kind, (count, _, _) in kinds.items():
        result.fault(f"journal: {kind}", count)
    result.figure("detected", sum(entry[1] for entry in kinds.values()), adds=True)
    result.figure("exact in spite of it", sum(entry[2] for entry in kinds.values()), adds=True)
    return result


ROW = Row("journal_damage", "bit flips, zeros, truncations and swapped files in the journal", "damaged journals", (100, 60),
          (2000, 600), run)
