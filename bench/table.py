"""Makes the tables of a bench's result. Figures are medians over the repeats; ratios and differences are medians of the repeats' own."""

import statistics

MB = 1e6
BASE = "nginx"


def of(result):
    names = list(result["titles"])
    parts = [heading(result)]
    has = lambda segment: any(row["segment"] == segment for row in result["segments"])
    if has("closed"):
        parts.append(plain(result, names))
    if has("rate"):
        parts.append(latency(result, names))
    if has("stream"):
        parts.append(streams(result, names))
    parts.append(process(result, [name for name in names if name in result["rss_peak"]]))
    parts.append(books(result))
    return "\n\n".join(parts) + "\n"


def heading(result):
    machine = result["machine"]
    others = [row["cpu_s"]["others"] / row["cpu_s"]["at"] / machine["cpus"] for row in result["segments"]]
    noise = f"other programs used {min(others):.0%} to {max(others):.0%} of it" if others else "nothing was measured under load"
    ruler = "; **load generator and upstream interrupt what is measured**" if result["interrupt"] else ""
    return (f"{result['when']} UTC, commit {result['commit']}, `make bench` ({result['size']}, {result['took_s']} s{ruler}): "
            f"{machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}; a small write and its sync take {machine['sync_us']} us, "
            f"two at 200 a second {machine['paced_syncs_ms'][0]} ms (p99 {machine['paced_syncs_ms'][1]}); {noise}.")


def plain(result, names):
    rows = [["64 connections, plain answers", "CPU us/request", "x nginx", "database, CPU us/request", "requests/s", "x nginx", "failed"]]
    for name in names:
        cost = per(result, name, "closed", "system", "ok")
        if name == "direct":
            cost = None
        rows.append([result["titles"][name], number(cost), times(result, name, "closed", lambda row: row["cpu_s"]["system"] / max(1, row["ok"])),
                     number(per(result, name, "closed", "database", "ok") or None), number(middle(result, name, "closed", lambda row: row["ok"] / row["secs"]), 0),
                     times(result, name, "closed", lambda row: row["ok"] / row["secs"]), failed(result, name)])
    return markdown(rows)


def latency(result, names):
    rows = [["200 requests/s, plain answers", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms"]]
    for name in names:
        of_percentile = lambda at: lambda row: row["whole_us"][at] / 1000
        rows.append([result["titles"][name], *[number(middle(result, name, "rate", of_percentile(at)), 3) for at in ("p50", "p99")],
                     *[number(added(result, name, "rate", of_percentile(at)), 3) for at in ("p50", "p99")]])
    return markdown(rows)


def streams(result, names):
    rows = [[f"512 streams of {result['chunks']} chunks, {result['gap_us'] // 1000} ms apart", "CPU us/chunk", "x nginx", "database, CPU us/chunk",
             "chunks/s", "first byte p50 ms", "added first byte p50 ms", "added first byte p99 ms"]]
    for name in names:
        cost = per(result, name, "stream", "system", "chunks")
        first = lambda at: lambda row: (row["first_us"][at] or 0) / 1000
        rows.append([result["titles"][name], number(None if name == "direct" else cost),
                     times(result, name, "stream", lambda row: row["cpu_s"]["system"] / max(1, row["chunks"])),
                     number(per(result, name, "stream", "database", "chunks") or None),
                     number(middle(result, name, "stream", lambda row: row["chunks"] / row["secs"]), 0),
                     number(middle(result, name, "stream", first("p50")), 3),
                     *[number(added(result, name, "stream", first(at)), 3) for at in ("p50", "p99")]])
    return markdown(rows)


def process(result, names):
    rows = [["the process", "RSS after start MB", "RSS at most under load MB", "RSS of an idle stream KiB", "idle streams", "start to ready s (first start)"]]
    for name in names:
        idle, starts = result["idle"].get(name), result["start_s"].get(name)
        ready = f"{statistics.median(starts):.2f} ({result['first_start_s'][name]:.2f})" if starts else "-"
        rows.append([result["titles"][name], number(result["rss_start"][name] / MB), number(result["rss_peak"][name] / MB),
                     number(idle["bytes_per_stream"] / 1024) if idle else "-", str(idle["held"]) if idle else "-", ready])
    layout = "laid out by BOLT" if result["laid_out"] else "not laid out by BOLT"
    return markdown(rows) + f"\n\nBinary: {result['binary_bytes'] / MB:.1f} MB, {layout}."


def books(result):
    """That what was measured was also recorded."""
    lines = []
    for name, audit in result.get("audit", {}).items():
        lines.append(f"{result['titles'][name]}: `tollgate audit` recomputed {audit.get('entries', '?')} entries, {audit_word(audit)}.")
    return "\n".join(lines)


def audit_word(audit):
    differences = audit.get("differences", [])
    return "no difference" if not differences else f"{len(differences)} differences"


def line(row):
    used, seen = row["cpu_s"], row["chunks"] if row["segment"] == "stream" else row["ok"]
    first = row["first_us"] if row["segment"] == "stream" else row["whole_us"]
    ms = lambda at: f"{(first[at] or 0) / 1000:.2f}"
    database = f" + {used['database'] / max(1, seen) * 1e6:.1f}" if used["database"] else ""
    return (f"{row['repeat']} {row['system']:18} {row['segment']:7} {seen / row['secs']:9.0f}/s  cpu {used['system'] / max(1, seen) * 1e6:7.1f}{database} us"
            f"  p50 {ms('p50')} p99 {ms('p99')} ms  failed {row['failed']} {row['first_failure'][:80]}  others {used['others']:.1f} s")


def values(result, name, segment, figure):
    return {row["repeat"]: figure(row) for row in result["segments"] if row["system"] == name and row["segment"] == segment}


def middle(result, name, segment, figure):
    found = list(values(result, name, segment, figure).values())
    return statistics.median(found) if found else None


def per(result, name, segment, whose, what):
    return middle(result, name, segment, lambda row: row["cpu_s"][whose] / max(1, row[what]) * 1e6)


def against(result, name, base, segment, figure, compare):
    own, other = values(result, name, segment, figure), values(result, base, segment, figure)
    both = [compare(own[repeat], other[repeat]) for repeat in own if repeat in other and other[repeat]]
    return statistics.median(both) if both else None


def times(result, name, segment, figure):
    if name == "direct":
        return "-"
    return number(against(result, name, BASE, segment, figure, lambda own, base: own / base), 2)


def added(result, name, segment, figure):
    if name == "direct":
        return None
    return against(result, name, "direct", segment, figure, lambda own, base: own - base)


def failed(result, name):
    return str(sum(row["failed"] for row in result["segments"] if row["system"] == name))


def number(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def markdown(rows):
    head, *body = rows
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *body])
