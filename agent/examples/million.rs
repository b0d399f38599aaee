//! How long the index takes for a million prefixes, and how much memory they cost.
//!
//! `cargo run --release -p twintor --example million [PODS [ADDRESSES]]`, by default 1000 pods with 1000 addresses.

use agent::index::{Event, Index, IndexConfig, Mode, Policy};
use agent::objects::{Kind, Meta, Object, ObjectKey, Pod, Subnet, SubnetSpec};
use std::error::Error;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Instant;
use wire::{FamilySet, Prefix};

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>());
    let pods = numbers.next().transpose()?.unwrap_or(1000);
    let addresses = numbers.next().transpose()?.unwrap_or(1000);
    let mut out = io::stdout();
    let mut index = Index::new(IndexConfig {
        node_name: Some("node".to_owned()),
        families: FamilySet::ALL,
        policy: Policy::from_flag(false),
        mode: Mode::Node,
        missing_status_is_ready: true,
    });
    index.apply(subnet(Some("true")));
    let before = resident()?;

    let mut folding = std::time::Duration::ZERO;
    for number in 0..pods {
        let event = pod(number, addresses);
        let start = Instant::now();
        index.apply(event);
        folding += start.elapsed();
    }
    let prefixes = index.len();
    writeln!(out, "{prefixes} prefixes of {pods} pods folded in {folding:?}")?;
    let bytes = resident()?.saturating_sub(before);
    writeln!(
        out,
        "{} bytes of resident memory for each prefix",
        bytes / prefixes.max(1)
    )?;

    let start = Instant::now();
    let changes = index.apply(pod(7, addresses.saturating_sub(1)));
    writeln!(
        out,
        "one address fewer: {} change in {:?}",
        changes.len(),
        start.elapsed()
    )?;
    let start = Instant::now();
    let reasons = index.explain(&Prefix::host(Ipv4Addr::from_bits(FIRST).into()));
    writeln!(
        out,
        "explained by {} object in {:?}",
        reasons.len(),
        start.elapsed()
    )?;
    let start = Instant::now();
    let changes = index.apply(subnet(None));
    writeln!(
        out,
        "annotation removed: {} changes in {:?}",
        changes.len(),
        start.elapsed()
    )?;
    let start = Instant::now();
    let changes = index.apply(subnet(Some("local")));
    writeln!(
        out,
        "no pod is here: {} changes in {:?}",
        changes.len(),
        start.elapsed()
    )?;
    let start = Instant::now();
    let changes = index.apply(subnet(Some("true")));
    writeln!(
        out,
        "annotation back: {} changes in {:?}",
        changes.len(),
        start.elapsed()
    )?;
    let start = Instant::now();
    let changes = index.apply(Event::Delete(ObjectKey::new(Kind::Subnet, "", "s")));
    writeln!(
        out,
        "subnet deleted: {} changes in {:?}",
        changes.len(),
        start.elapsed()
    )?;
    Ok(())
}

const FIRST: u32 = 0x0a00_0001;

fn pod(number: u32, addresses: u32) -> Event {
    let base = FIRST + number * addresses.max(1000);
    let list: Vec<_> = (0..addresses)
        .map(|host| Ipv4Addr::from_bits(base + host).to_string())
        .collect();
    let mut metadata = Meta {
        name: format!("pod-{number}"),
        ..Meta::default()
    };
    metadata
        .annotations
        .set("ovn.kubernetes.io/ip_address", list.join(","));
    metadata.annotations.set("ovn.kubernetes.io/logical_switch", "s");
    let pod = Pod {
        metadata,
        ..Pod::default()
    };
    Event::Upsert(Box::new(Object::Pod(pod)))
}

fn subnet(bgp: Option<&str>) -> Event {
    let mut metadata = Meta {
        name: "s".to_owned(),
        ..Meta::default()
    };
    if let Some(bgp) = bgp {
        metadata.annotations.set("ovn.kubernetes.io/bgp", bgp);
    }
    let subnet = Subnet {
        metadata,
        spec: SubnetSpec {
            cidr_block: "10.0.0.0/8".to_owned(),
        },
        status: None,
    };
    Event::Upsert(Box::new(Object::Subnet(subnet)))
}

/// Resident memory of this process in bytes, where pages have 4 KiB.
fn resident() -> Result<usize, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm
        .split_whitespace()
        .nth(1)
        .ok_or("no resident size in /proc/self/statm")?;
    Ok(pages.parse::<usize>()? * 4096)
}
