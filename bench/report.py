"""What was measured, as text; and each figure of the issue with its aim."""

import math
import os
import platform


class Figures:
    """Aims and what was reached. A figure that was not measured in this run is not listed."""

    def __init__(self):
        self.rows = []

    def at_least(self, what: str, value: float, aim: float, unit: str = "x", note: str = "") -> None:
        self.rows.append((what, f"{value:,.2f} {unit}", f">= {aim:,.2f} {unit}", value >= aim, note))

    def at_most(self, what: str, value: float, aim: float, unit: str, note: str = "") -> None:
        self.rows.append((what, f"{value:,.0f} {unit}", f"<= {aim:,.0f} {unit}", not math.isnan(value) and value <= aim, note))

    def failed(self, what: str, why: str) -> None:
        self.rows.append((what, "not measured", "", False, why))

    def text(self) -> list:
        lines = ["| figure | reached | aim | | note |", "|---|---|---|---|---|"]
        lines += [f"| {what} | {value} | {aim} | {'pass' if ok else 'FAIL'} | {note} |"
                  for what, value, aim, ok, note in self.rows]
        return lines

    @property
    def all_reached(self) -> bool:
        return all(row[3] for row in self.rows)


def hot_table(rounds_list) -> list:
    lines = ["| setting | connections | | requests/s | p50 us | p99 us | added p50 us | added p99 us | proxy CPU us/request "
             "| proxies' core | load's core | failed |", "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for rounds in rounds_list:
        for row in rounds.table():
            added = (f"{row['added_p50']:,.0f} | {row['added_p99']:,.0f}" if "added_p50" in row else "| ")
            cpu = f"{row['cpu_us']:.1f}" if row["cpu_us"] else ""
            lines.append(f"| {row['setting']} | {row['connections']} | {row['proxy']} | {row['rate']:,.0f} | {row['p50']:,.0f} "
                         f"| {row['p99']:,.0f} | {added} | {cpu} | {row['proxy_core']:.0%} | {row['load_core']:.0%} | {row['bad']} |")
    return lines


def table(rows: list, columns: list) -> list:
    """`rows` are dicts; `columns` (key, heading, format)."""
    lines = ["| " + " | ".join(heading for _, heading, _ in columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(format(row[key], how) if key in row else "" for key, _, how in columns) + " |")
    return lines


def machine() -> str:
    with open("/proc/cpuinfo", encoding="ascii") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.readline().split()[1]) / (1 << 20)
    return f"{os.cpu_count()} x {model}, {memory:.0f} GB, Linux {platform.release()}"
