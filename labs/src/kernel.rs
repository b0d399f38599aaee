//! What the kernel of a node has in its tables.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::netns::Netns;

/// The gateways of the kernel's route for a prefix, sorted; empty when there is none.
pub fn gateways(netns: &Netns, prefix: &str) -> Result<Vec<String>> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let text = netns.ip(&format!("{family} -j route show {prefix}"))?;
    let routes = parse(&text)?;
    let mut gateways = Vec::new();
    for route in routes.as_array().into_iter().flatten() {
        gateways.extend(gateway(route));
        gateways.extend(
            route["nexthops"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(gateway),
        );
    }
    gateways.sort();
    Ok(gateways)
}

fn gateway(route: &Value) -> Option<String> {
    route["gateway"]
        .as_str()
        .or_else(|| route["via"]["host"].as_str())
        .map(str::to_owned)
}

fn parse(text: &str) -> Result<Value> {
    if text.trim().is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    serde_json::from_str(text).with_context(|| format!("ip -j route: {text}"))
}

/// One of the kernel's TCP counters of a namespace, such as `TCPMD5Failure`.
pub fn tcp_counter(netns: &Netns, name: &str) -> Result<u64> {
    let text =
        netns.enter(|| std::fs::read_to_string("/proc/thread-self/net/netstat").context("read netstat"))?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        bail!("no TcpExt in netstat")
    };
    let position = names.split_whitespace().position(|word| word == name);
    let value = position.and_then(|position| values.split_whitespace().nth(position));
    Ok(value.with_context(|| format!("no counter {name}"))?.parse()?)
}
