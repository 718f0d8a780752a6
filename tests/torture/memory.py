"""Resident memory of a process over time."""

import time


class Memory:
    def __init__(self, pid: int):
        self._pid, self._samples = pid, []

    def sample(self) -> float:
        self._samples.append((time.monotonic(), resident_mb(self._pid)))
        return self._samples[-1][1]

    @property
    def highest(self) -> float:
        return max((megabytes for _, megabytes in self._samples), default=float("nan"))

    def growth(self) -> float:
        """From the middle to the end."""
        if len(self._samples) < 4:
            return float("nan")
        return self._samples[-1][1] - self._samples[len(self._samples) // 2][1]

    def to_csv(self) -> str:
        """Seconds since the first sample, MB."""
        return "".join(f"{at - self._samples[0][0]:.1f},{megabytes:.2f}\n" for at, megabytes in self._samples)

    def slope(self, skip: float) -> float:
        """MB a minute by least squares, without the first part in which buffers fill."""
        samples = self._samples[int(len(self._samples) * skip):]
        if len(samples) < 4:
            return float("nan")
        times, sizes = [at for at, _ in samples], [size for _, size in samples]
        mean_time, mean_size = sum(times) / len(times), sum(sizes) / len(sizes)
        spread = sum((at - mean_time) ** 2 for at in times)
        return 60 * sum((at - mean_time) * (size - mean_size) for at, size in samples) / spread


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
