"""What Linux says of processes: processor time and memory of a whole tree of them."""

import os

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        text = file.read()
    return text[text.rindex(")") + 2:].split()


def tree(root):
    """The process and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(_stat(name)[1]), []).append(int(name))
            except OSError:
                pass
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


def cpu_seconds(root):
    """User and system time of the tree, threads that have ended included. The kernel counts nanoseconds and tells ticks of 10 ms."""
    total = 0
    for pid in tree(root):
        try:
            fields = _stat(pid)
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICKS


def rss_bytes(root):
    """Resident memory of the tree, pages of the program's file included."""
    total = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/status") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))
        except OSError:
            pass
    return total


def machine_busy_seconds():
    """Processor time that anybody has used on this machine."""
    with open("/proc/stat") as file:
        fields = [int(value) for value in file.readline().split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
