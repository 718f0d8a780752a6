"""bench/run: see README.md."""

import argparse
import os
import pathlib
import signal
import sys
import time

import copying
import hot_path
import limits
import report
import stage
import switching

PARTS = ("pass", "grpc", "dual", "copy", "memory", "restart", "switch")


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGUN:5.0f} s] {text}", file=sys.stderr, flush=True)


def measure_pass(quick: bool, figures, out) -> None:
    if quick:
        rounds = hot_path.pass_through([("8 KB", 64), ("8 KB", 1)], 3, 1, say)
    else:
        rounds = hot_path.pass_through([("8 KB", 64), ("8 KB", 1)], 7, 2, say)
        rounds += hot_path.pass_through([("8 KB", 512), ("1 MB", 1), ("1 MB", 64), ("1 MB", 512)], 3, 2, say)
    out += ["## Pass-through, HTTP/1.1", ""] + report.hot_table(rounds) + [""]
    for r in rounds:
        if r.setting == "HTTP/1.1 8 KB" and r.connections == 64:
            figures.at_least("pass-through, 8 KB, 64 connections: requests/s by the better of nginx and HAProxy",
                             r.ratio("vmproxy", "nginx", "HAProxy"), 1.1, note=f"by CPU for a request: {r.cpu_ratio('vmproxy', 'nginx', 'HAProxy'):.2f} x")
        if r.setting == "HTTP/1.1 8 KB" and r.connections == 1:
            figures.at_most("pass-through, 8 KB, one connection: added at p50", r.added_us("vmproxy"), 80, "us",
                            f"nginx {r.added_us('nginx'):.0f}, HAProxy {r.added_us('HAProxy'):.0f}")


def measure_grpc(quick: bool, figures, out) -> None:
    if quick:
        rounds = hot_path.grpc([("8 KB", 64), ("8 KB", 1)], 2, 1, say)
    else:
        rounds = hot_path.grpc([("8 KB", 1), ("8 KB", 64), ("8 KB", 512), ("1 MB", 1), ("1 MB", 64)], 3, 2, say)
        # 512 x 1 MB is some 300 calls a second: in less time a connection has not had two, and the ratio is one of beginnings.
        rounds += hot_path.grpc([("1 MB", 512)], 3, 8, say)
    out += ["## Pass-through, gRPC", ""] + report.hot_table(rounds) + [""]
    for r in rounds:
        name = "vmproxy" if "vmproxy" in r.runs else "vmproxy net/"
        note = f"by CPU {r.cpu_ratio(name, 'nginx grpc_pass'):.2f} x; added at p50 {r.added_us(name):.0f} us"
        if name != "vmproxy":
            note += "; net/ alone: no gRPC dialect is in vmproxy's list"
        note += f"; by HAProxy {r.ratio(name, 'HAProxy'):.2f} x"
        figures.at_least(f"{r.setting}, {r.connections} connections: by nginx grpc_pass", r.ratio(name, "nginx grpc_pass"), 0.8, note=note)


def measure_dual(quick: bool, figures, out) -> None:
    if quick:
        rounds, facts = hot_path.dual_write([("8 KB", 64), ("8 KB", 512)], 2, 1, say)
    else:
        rounds, facts = hot_path.dual_write([("8 KB", 1), ("8 KB", 64), ("8 KB", 512), ("1 MB", 1), ("1 MB", 64)], 3, 2, say)
        more, of_more = hot_path.dual_write([("1 MB", 512)], 2, 2, say)
        rounds, facts = rounds + more, {**facts, **of_more}
    out += ["## Dual write, counted until the replica has everything", ""] + report.hot_table(rounds) + [""]
    for (setting, connections), fact in facts.items():
        out.append(f"- {setting}, {connections} connections: fsync of a group of the journal {fact['fsync_ms']:.2f} ms, "
                   f"of 8 KB alone on the same disk {fact['disk_ms']:.2f} ms (medians); merged while they waited: " +
                   ", ".join(f"{name} {n:,.0f}" for name, n in fact["coalesced"].items()))
    out.append("")
    for r in rounds:
        if "8 KB" not in r.setting or r.connections == 1:
            continue
        fsync_ms = facts[(r.setting, r.connections)]["disk_ms"]
        cpu = f"by CPU {r.cpu_ratio('vmproxy fsync', 'nginx mirror'):.2f} x; fsync median of the disk {fsync_ms:.2f} ms"
        aim = 1.0 if r.connections == 64 else 1.5
        if fsync_ms < 1 or r.connections != 64:
            figures.at_least(f"dual write, fsync, {r.connections} connections: by nginx mirror", r.ratio("vmproxy fsync", "nginx mirror"), aim, note=cpu)
        else:
            figures.at_least("dual write, fsync, 64 connections: writes/s (fsync is slower than 1 ms here)", r.rate("vmproxy fsync"),
                             0.7 * r.connections / (1.5 * fsync_ms / 1e3), "/s", note=f"{cpu}; nginx mirror {r.rate('nginx mirror'):,.0f}/s")
        figures.at_least(f"dual write, durability os, {r.connections} connections: by nginx mirror", r.ratio("vmproxy os", "nginx mirror"), 2.0,
                         note=f"by CPU {r.cpu_ratio('vmproxy os', 'nginx mirror'):.2f} x")


MEASURES = {"pass": measure_pass, "grpc": measure_grpc, "dual": measure_dual, "copy": copying.measure,
            "memory": limits.measure_memory, "restart": limits.measure_restart, "switch": switching.measure}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/run", description="measures vmproxy; README.md says what and why")
    parser.add_argument("--quick", action="store_true", help="under 2 minutes")
    parser.add_argument("--only", help=f"comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--million", action="store_true", help="memory: also 1,000,000 x 128, whose index takes long to build")
    parser.add_argument("--pair", metavar="SOURCE:TARGET", help="copy and switch: only this pair, of " + ", ".join(f"{a}:{b}" for a, b, _, _ in copying.PAIRS))
    parser.add_argument("--write", metavar="FILE", help="also write the tables there")
    arguments = parser.parse_args()
    limits.MILLION = arguments.million
    wanted = arguments.only.split(",") if arguments.only else PARTS
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(PARTS)}")

    figures, out = report.Figures(), []
    load = [os.getloadavg()[0]]
    for part in wanted:
        say(f"measuring: {part}")
        try:
            more = () if part in ("pass", "grpc", "dual") else (say, arguments.pair) if part in ("copy", "switch") else (say,)
            MEASURES[part](arguments.quick, figures, out, *more)
        except Exception as error:  # the other figures are still worth having
            figures.failed(part, f"{type(error).__name__}: {str(error)[:300]}".replace("\n", " ").replace("|", "/"))
        load.append(os.getloadavg()[0])
    head = ["# Benchmarks", "",
            f"`bench/run{' --quick' if arguments.quick else ''}{' --million' if arguments.million else ''}{' --only ' + arguments.only if arguments.only else ''}{' --pair ' + arguments.pair if arguments.pair else ''}` on "
            f"{report.machine()}, {time.strftime('%Y-%m-%d')}, {time.monotonic() - BEGUN:.0f} s. Load average before, between and after "
            f"the parts: {', '.join(f'{x:.1f}' for x in load)} (about 2 is this benchmark alone). What is compared, and why: bench/README.md.", "",
            "## Figures", ""] + figures.text() + [""]
    text = "\n".join(head + out)
    print(text)
    if arguments.write:
        pathlib.Path(arguments.write).write_text(text + "\n", encoding="utf-8")
        say(f"written to {arguments.write}")
    return 0 if figures.all_reached else 4


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
BEGUN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
