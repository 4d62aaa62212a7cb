"""How much of this process is in memory. Linux."""


def status(field):
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def resident_bytes():
    return status("VmRSS")


def peak_resident_bytes():
    """The most that it was since `reset_peak`."""
    return status("VmHWM")


def reset_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
