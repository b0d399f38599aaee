//! A routing table as an MRT file (RFC 6396, TABLE_DUMP_V2), the way to fill GoBGP quickly.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

const TABLE_DUMP_V2: u16 = 13;
const PEER_INDEX_TABLE: u16 = 1;
const RIB_IPV4_UNICAST: u16 = 2;

/// Writes host routes without an AS path, all from one peer.
pub(super) fn write(file: &Path, routes: impl Iterator<Item = Ipv4Addr>) -> Result<()> {
    let file = File::create(file).with_context(|| format!("create {}", file.display()))?;
    let mut out = BufWriter::new(file);
    record(&mut out, PEER_INDEX_TABLE, &peer_index())?;
    for (sequence, address) in routes.enumerate() {
        record(
            &mut out,
            RIB_IPV4_UNICAST,
            &entry(u32::try_from(sequence)?, address),
        )?;
    }
    out.flush().context("write the MRT file")
}

fn record(out: &mut impl Write, subtype: u16, body: &[u8]) -> Result<()> {
    out.write_all(&0_u32.to_be_bytes())?;
    out.write_all(&TABLE_DUMP_V2.to_be_bytes())?;
    out.write_all(&subtype.to_be_bytes())?;
    out.write_all(&u32::try_from(body.len())?.to_be_bytes())?;
    Ok(out.write_all(body)?)
}

fn peer_index() -> Vec<u8> {
    const FOUR_OCTET_AS: u8 = 2;
    let collector = [10, 1, 1, 2];
    let mut body = collector.to_vec();
    body.extend([0, 0, 0, 1, FOUR_OCTET_AS]);
    body.extend([10, 1, 1, 2, 10, 1, 1, 2]);
    body.extend(65000_u32.to_be_bytes());
    body
}

fn entry(sequence: u32, address: Ipv4Addr) -> Vec<u8> {
    const ORIGIN_IGP: [u8; 4] = [0x40, 1, 1, 0];
    const AS_PATH_EMPTY: [u8; 3] = [0x40, 2, 0];
    const NEXT_HOP: [u8; 7] = [0x40, 3, 4, 10, 1, 1, 2];
    let attributes = [&ORIGIN_IGP[..], &AS_PATH_EMPTY, &NEXT_HOP].concat();
    let mut body = sequence.to_be_bytes().to_vec();
    body.push(32);
    body.extend(address.octets());
    body.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    body.extend([0, attributes.len().to_be_bytes()[7]]);
    body.extend(attributes);
    body
}
