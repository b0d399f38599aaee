//! `twintor bfd`: FRR's `show bfd peers [counters] [json]`.

use super::table::printable;
use crate::report::{BfdCounters, BfdPeer, BfdReport};
use serde::Serialize;
use std::fmt::Write;
use std::net::IpAddr;

/// What FRR prints as JSON: an array of sessions.
pub(super) fn peers(report: &BfdReport) -> Vec<BfdPeer> {
    let without_counters = |peer: &BfdPeer| BfdPeer {
        counters: None,
        ..peer.clone()
    };
    report.peers.iter().map(without_counters).collect()
}

/// A session of FRR's `show bfd peers counters json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PeerCounters<'a> {
    multihop: bool,
    peer: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<IpAddr>,
    vrf: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<&'a str>,
    #[serde(flatten)]
    counters: Option<&'a BfdCounters>,
}

/// What FRR prints as JSON of the counters: an array of sessions.
pub(super) fn counters(report: &BfdReport) -> Vec<PeerCounters<'_>> {
    report.peers.iter().map(PeerCounters::new).collect()
}

impl<'a> PeerCounters<'a> {
    fn new(peer: &'a BfdPeer) -> Self {
        Self {
            multihop: peer.multihop,
            peer: peer.peer,
            local: peer.local,
            vrf: &peer.vrf,
            interface: peer.interface.as_deref(),
            counters: peer.counters.as_ref(),
        }
    }
}

pub(super) fn text(report: &BfdReport) -> String {
    let mut text = "BFD Peers:\n".to_owned();
    for peer in &report.peers {
        text.push_str(&head(peer));
        // Writing to a string cannot fail.
        let _ = write_peer(&mut text, peer);
    }
    text
}

pub(super) fn counters_text(report: &BfdReport) -> String {
    let mut text = "BFD Peers:\n".to_owned();
    for peer in &report.peers {
        text.push_str(&head(peer));
        let Some(counters) = &peer.counters else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\t\tControl packet input: {} packets\n\
             \t\tControl packet output: {} packets\n\
             \t\tEcho packet input: {} packets\n\
             \t\tEcho packet output: {} packets\n\
             \t\tSession up events: {}\n\
             \t\tSession down events: {}\n\
             \t\tZebra notifications: {}\n\
             \t\tTx fail packet: {}",
            counters.control_packet_input,
            counters.control_packet_output,
            counters.echo_packet_input,
            counters.echo_packet_output,
            counters.session_up,
            counters.session_down,
            counters.zebra_notifications,
            counters.tx_fail_packet,
        );
        for (reason, count) in &counters.rx_discard {
            let _ = writeln!(text, "\t\tRx discard, {}: {count}", printable(reason));
        }
        text.push('\n');
    }
    text
}

fn head(peer: &BfdPeer) -> String {
    let mut text = format!("\tpeer {}", peer.peer);
    if peer.multihop {
        text.push_str(" multihop");
    }
    if let Some(local) = peer.local {
        let _ = write!(text, " local-address {local}");
    }
    let _ = write!(text, " vrf {}", printable(&peer.vrf));
    if let Some(interface) = &peer.interface {
        let _ = write!(text, " interface {}", printable(interface));
    }
    text.push('\n');
    text
}

fn write_peer(text: &mut String, peer: &BfdPeer) -> std::fmt::Result {
    writeln!(text, "\t\tID: {}\n\t\tRemote ID: {}", peer.id, peer.remote_id)?;
    let mode = if peer.passive_mode { "Passive" } else { "Active" };
    writeln!(text, "\t\t{mode} mode")?;
    if let Some(ttl) = peer.minimum_ttl {
        writeln!(text, "\t\tMinimum TTL: {ttl}")?;
    }
    writeln!(text, "\t\tStatus: {}", peer.status.word())?;
    if let Some(uptime) = peer.uptime {
        writeln!(text, "\t\tUptime: {}", duration(uptime))?;
    }
    if let Some(downtime) = peer.downtime {
        writeln!(text, "\t\tDowntime: {}", duration(downtime))?;
    }
    writeln!(
        text,
        "\t\tDiagnostics: {}\n\
         \t\tRemote diagnostics: {}\n\
         \t\tPeer Type: configured\n\
         \t\tRTT min/avg/max: {}/{}/{} usec\n\
         \t\tLocal timers:\n\
         \t\t\tDetect-multiplier: {}\n\
         \t\t\tReceive interval: {}ms\n\
         \t\t\tTransmission interval: {}ms\n\
         \t\t\tEcho receive interval: {}\n\
         \t\t\tEcho transmission interval: {}\n\
         \t\tRemote timers:\n\
         \t\t\tDetect-multiplier: {}\n\
         \t\t\tReceive interval: {}ms\n\
         \t\t\tTransmission interval: {}ms\n\
         \t\t\tEcho receive interval: {}",
        printable(&peer.diagnostic),
        printable(&peer.remote_diagnostic),
        peer.rtt_min,
        peer.rtt_avg,
        peer.rtt_max,
        peer.detect_multiplier,
        peer.receive_interval,
        peer.transmit_interval,
        echo(peer.echo_receive_interval),
        echo(peer.echo_transmit_interval),
        peer.remote_detect_multiplier,
        peer.remote_receive_interval,
        peer.remote_transmit_interval,
        echo(peer.remote_echo_receive_interval),
    )?;
    write_extra(text, peer)?;
    text.push('\n');
    Ok(())
}

fn write_extra(text: &mut String, peer: &BfdPeer) -> std::fmt::Result {
    let extra = &peer.extra;
    writeln!(text, "\t\tIn force:")?;
    writeln!(
        text,
        "\t\t\tPlane: {}",
        printable(extra.plane.as_deref().unwrap_or("-"))
    )?;
    writeln!(
        text,
        "\t\t\tTransmission interval: {}ms",
        peer.transmit_interval_actual
    )?;
    writeln!(text, "\t\t\tDetection time: {}ms", peer.detection_timeout)?;
    if !extra.running {
        writeln!(text, "\t\t\tNothing can be received; see the log")?;
    }
    if let Some(error) = &extra.send_error {
        writeln!(text, "\t\t\tSending: {}", printable(error))?;
    }
    if let (Some(cause), Some(ago)) = (&extra.last_down_cause, extra.last_down_ago) {
        let stall = if extra.last_down_local_stall {
            ", after a local stall"
        } else {
            ""
        };
        writeln!(
            text,
            "\t\t\tLast down: {} ago, {}{stall}",
            duration(ago),
            printable(cause)
        )?;
    }
    Ok(())
}

fn echo(interval: u64) -> String {
    match interval {
        0 => "disabled".to_owned(),
        interval => format!("{interval}ms"),
    }
}

/// As FRR writes it: `1 hour(s), 0 minute(s), 5 second(s)`.
fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (31_536_000, "year"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, name) in UNITS {
        if rest >= unit {
            let _ = write!(text, "{} {name}(s), ", rest / unit);
            rest %= unit;
        }
    }
    text + &format!("{rest} second(s)")
}

#[cfg(test)]
#[path = "bfd_tests.rs"]
pub(super) mod tests;
