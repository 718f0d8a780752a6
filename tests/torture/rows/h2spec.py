"""h2spec's strict suite against a listener, plain and over TLS."""

from torture.context import last_match
from torture.row import PROGRAMS, Row


def run(context, budget, seed):
    result = ROW.result(budget, seed)
    script = context.needs_file("scripts/h2spec")
    code, lines = context.run(result.name, [script, "release"], budget.left() + 300)
    said = last_match(r"h2spec strict: h2c (\d+)/(\d+), TLS (\d+)/(\d+)", lines)
    if said is None:
        result.anomaly(f"scripts/h2spec ended with {code} and no figure: " + "\n".join(lines[-30:]))
        return result
    plain, plain_all, tls, tls_all = map(int, said.groups())
    result.done = plain + tls
    if code != 0 or plain != plain_all or tls != tls_all:
        result.anomaly(f"{said[0]}, exit code {code}")
    return result


ROW = Row("h2spec", "h2spec strict, h2c and TLS", "tests", (2 * 146, 120), (2 * 146, 120), run, whole=True, fixed=True, lane=PROGRAMS)
