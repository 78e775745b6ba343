#!/usr/bin/env python3
"""Prints the scalars of a run as TensorBoard's own reader sees them: tag, step, value.

    python3 -m venv VENV && VENV/bin/pip install tensorboard
    VENV/bin/python bench/peers/tensorboard_check.py runs/drive
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}, purge_orphaned_data=True)
events.Reload()
for tag in sorted(events.Tags()["scalars"]):
    for point in events.Scalars(tag):
        print(f"{tag}\t{point.step}\t{point.value:.9g}")
