"""What the peers' measurements share: the clock, the memory, and the protocol of `argosy bench train`
(docs/json.md): one JSON object a line, and --serve."""
import json
import os
import sys
import time


def seconds_since_start(started=None):
    """Since `started` (a time.time() that the caller took), else since this process began."""
    if started:
        return time.time() - started
    ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def report(**values):
    print(json.dumps({**values, "peak_rss_mb": peak_rss_mb()}), flush=True)


def measure(run, seconds):
    """Runs again and again for `seconds`, three times at least: how often, and the medians of a run's
    wall time and CPU time in seconds."""
    wall, cpu, begin = [], [], time.perf_counter()
    while len(wall) < 3 or time.perf_counter() - begin < seconds:
        w, c = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - w)
        cpu.append(time.process_time() - c)
    median = lambda values: sorted(values)[len(values) // 2]
    return len(wall), median(wall), median(cpu)


def measure_steps(args, step, samples, **more):
    """Takes the first step and reports it, then does what the caller's arguments ask for: --serve,
    --profile, or one block of --seconds (0: none)."""
    import torch

    def block(seconds):
        steps, step_s, cpu_s = measure(step, seconds)
        report(event="block", steps=steps, step_s=step_s, cpu_s=cpu_s, samples_per_s=samples / step_s)

    loss = step()
    report(event="ready", program="torch " + torch.__version__, mode=args.mode, layout=args.layout,
           threads=args.threads, samples=samples, loss=loss, **more,
           start_to_first_step_s=seconds_since_start(args.started))
    if args.serve:
        for line in sys.stdin:
            words = line.split()
            if len(words) != 2 or words[0] != "run":
                break
            block(float(words[1]))
    elif args.profile:
        measure(step, 0)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profiler:
            for _ in range(3):
                step()
        print(profiler.key_averages(group_by_input_shape=True).table(
            sort_by="self_cpu_time_total", row_limit=40, max_shapes_column_width=60))
    elif args.seconds > 0:
        measure(step, 0)  # warm
        block(args.seconds)
