//! The results: a table for people, JSON for programs.

use anyhow::Result;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::{
    measure::{Cost, Costs, Series, least, median, noise},
    memory::Memory,
};

/// Prints what operations cost.
pub(crate) fn costs(costs: &Costs, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(&costs_json(costs))?);
        return Ok(());
    }
    let mut table = plain_table([
        "operation",
        "off, ns",
        "on, ns",
        "added, ns",
        "ratio",
        "noise",
        "daemon, ns",
    ]);
    for cost in &costs.costs {
        let (off, on) = (least(&cost.off.cpu), least(&cost.on.cpu));
        table.add_row([
            cost.operation.name().to_owned(),
            format!("{off:.0}"),
            format!("{on:.0}"),
            format!("{:+.0}", on - off),
            format!("{:.2}", on / off),
            noise(&cost.off.cpu).map_or_else(String::new, |part| format!("{:.1} %", part * 100.0)),
            format!("{:.0}", median(&cost.daemon)),
        ]);
    }
    println!("{table}");
    println!();
    println!(
        "off, on: CPU time of one operation, the least of {} batches each",
        costs.costs[0].off.cpu.len()
    );
    println!("noise: how far the least of odd and of even rounds, both off, are apart");
    println!(
        "daemon: its own CPU time for one such operation, the median of {} rounds",
        costs.idle.len()
    );
    println!(
        "daemon at rest: {:.2} % of a CPU",
        median(&costs.idle) / 1e7
    );
    println!("daemon's memory: {:.1} MiB", mebibytes(largest(&costs.rss)));
    println!("events: {} taken in, {} lost", costs.events, costs.lost);
    Ok(())
}

/// Prints what the daemon's memory is.
pub(crate) fn memory(memory: &Memory, as_json: bool) -> Result<()> {
    let Memory {
        credentials,
        watched_files,
        usage,
        version,
    } = memory;
    if as_json {
        let value = json!({
            "version": version,
            "credentials": credentials,
            "watched_files": watched_files,
            "rss_bytes": usage.resident,
            "anonymous_bytes": usage.anonymous,
            "peak_bytes": usage.peak,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    println!(
        "{:.1} MiB resident with {credentials} credentials in {watched_files} watched files ({:.1} MiB of it anonymous, {:.1} MiB at the most)",
        mebibytes(usage.resident),
        mebibytes(usage.anonymous),
        mebibytes(usage.peak)
    );
    Ok(())
}

fn costs_json(costs: &Costs) -> Value {
    let operations: Vec<Value> = costs.costs.iter().map(cost_json).collect();
    json!({
        "version": costs.version,
        "unit": "ns of CPU time per operation",
        "rounds": costs.idle.len(),
        "operations": operations,
        "daemon_idle_cpu_ns_per_s": median(&costs.idle),
        "daemon_rss_bytes": largest(&costs.rss),
        "events": costs.events,
        "lost": costs.lost,
    })
}

fn cost_json(cost: &Cost) -> Value {
    let Cost {
        operation,
        off,
        on,
        daemon,
    } = cost;
    json!({
        "operation": operation.key(),
        "off": series_json(off),
        "on": series_json(on),
        "ratio_of_least": least(&on.cpu) / least(&off.cpu),
        "noise": noise(&off.cpu),
        "ratio_of_medians": median(&on.cpu) / median(&off.cpu),
        "daemon": { "median": median(daemon), "rounds": daemon },
    })
}

fn series_json(series: &Series) -> Value {
    json!({
        "cpu_least": least(&series.cpu),
        "cpu_median": median(&series.cpu),
        "wall_least": least(&series.wall),
        "wall_median": median(&series.wall),
        "cpu_batches": series.cpu,
    })
}

fn plain_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn largest(numbers: &[u64]) -> u64 {
    numbers.iter().copied().max().unwrap_or(0)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
