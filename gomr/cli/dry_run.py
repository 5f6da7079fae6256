"""What `gomr run --dry-run` and `gomr submit --dry-run` print: what would be read, and the tasks that it makes."""

import click

from gomr.cli.common import print_json, print_table
from gomr.client import Plan
from gomr.model import Input
from gomr.units import shown_size


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print the inputs of a job that is not submitted, and how many tasks it would have."""
    record = plan.record
    inputs = [Input(**item) for item in record.inputs]
    size = sum(item.size for item in inputs)
    if as_json:
        listed = [{"input": item.shown, "bytes": item.size, "compression": item.compression} for item in inputs]
        tasks = {"splits": len(record.splits), "partitions": record.partitions, "split_bytes": record.split_bytes}
        print_json({"inputs": listed, "bytes": size, "left_out": plan.left_out, **tasks})
        return
    print_table(
        ("size", "compression", "input"),
        [(shown_size(item.size), item.compression or "-", item.shown) for item in inputs],
    )
    left_out = f"{plan.left_out} left out, which begin with . or _; " if plan.left_out else ""
    click.echo(
        f"inputs: {len(inputs)}, {shown_size(size)}; splits: {len(record.splits)}; "
        f"partitions: {record.partitions}; {left_out}nothing was submitted",
        err=True,
    )
