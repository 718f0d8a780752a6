"""What rows have in common that are one program of this repository, called until its count is reached."""

from torture.context import last_match


def called(context, budget, result, make_command, figure: str, step: int, seconds_of_unit: float) -> None:
    """make_command(count, number of the call) -> command. `figure` matches its last line: what was done, how much was wrong."""
    call = 0
    while budget.goes_on(result.done, seconds_of_unit * min(step, budget.count - result.done)):
        count = min(step, budget.count - result.done)
        code, lines = context.run(result.name, make_command(count, call), max(30.0, budget.left() + 60))
        said = last_match(figure, lines)
        if code is None:
            result.anomaly(f"call {call} did not end in time")
            return
        if said is None:
            result.anomaly(f"call {call} ended with {code} and no figure: " + "\n".join(lines[-30:]))
            return
        done, wrong = (int(word.replace(",", "")) for word in said.groups()[:2])
        result.done += done
        if code != 0 or wrong:
            result.anomaly(f"call {call}, exit code {code}: {said[0]}\n" + "\n".join(lines[-40:]))
            return
        if done == 0:
            result.anomaly(f"call {call} did nothing: {said[0]}")
            return
        call += 1
