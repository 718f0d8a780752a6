"""A journal whose files were damaged: it says so, or everything acknowledged is there. Never silence."""

from torture.context import last_match
from torture.row import SPARE, Row
from torture.rows.programs import called


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    program = context.program("journal_damage")
    kinds = {}

    def command(count, call):
        return [program, "--rounds", str(count), "--seed", str(seed), "--first", str(call * STEP)]
    figure = r"(\d+) damaged journals, (\d+) silent"
    called(context, budget, result, command, figure, STEP, 0.3)
    if not result.anomaly_count and budget.part[0] == 1:  # the sweep cannot be cut
        code, lines = context.run(result.name, [program, "--every-byte", "8" if budget.short else "1"], 600)
        said = last_match(figure, lines)
        if said is None or code != 0:
            result.anomaly(f"--every-byte ended with {code}: " + "\n".join(lines[-30:]))
        else:
            result.figure("cut at a byte of the last three records", int(said[1]), adds=True)
    for line in (context.logs / f"{result.name}.log").read_text(errors="replace").splitlines():
        words = line.split()  # "flip 34 detected 20 exact 14"
        if len(words) == 6 and words[2::2] == ["detected", "exact"]:
            kinds[words[0]] = [known + int(word) for known, word in zip(kinds.get(words[0], [0, 0, 0]), words[1::2])]
    for kind, (count, _, _) in kinds.items():
        result.fault(f"journal: {kind}", count)
    result.figure("detected", sum(entry[1] for entry in kinds.values()), adds=True)
    result.figure("exact in spite of it", sum(entry[2] for entry in kinds.values()), adds=True)
    return result


STEP = 50
ROW = Row("journal_damage", "bit flips, zeros, truncations and swapped files in the journal", "damaged journals", (100, 120),
          (2000, 180), run, lane=SPARE)
