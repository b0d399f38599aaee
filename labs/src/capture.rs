//! Recording what is on a node's wires, and reading it with tshark's eyes.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::Lab;
use crate::netns::run;
use crate::wait::{self, PATIENCE};

/// Where marks are sent: nobody listens there.
const DISCARD: &str = "127.0.0.1:9";
const DAEMON: &str = "dumpcap";

/// A running capture of a node's packets.
#[derive(Debug)]
pub struct Capture<'a> {
    lab: &'a Lab,
    node: String,
    file: PathBuf,
}

/// A finished capture.
#[derive(Debug, Clone)]
pub struct Pcap {
    file: PathBuf,
}

impl<'a> Capture<'a> {
    /// Starts recording BGP on all interfaces of a node; returns once packets are being taken.
    pub fn start(lab: &'a Lab, node: &str) -> Result<Self> {
        Self::start_with(lab, node, "tcp port 179")
    }

    /// Starts recording what a capture filter lets pass.
    pub fn start_with(lab: &'a Lab, node: &str, filter: &str) -> Result<Self> {
        let filter = format!("({filter}) or udp port 9");
        let file = lab.write(node, "bgp.pcapng", "")?;
        let args = ["-q", "-i", "any", "-f", &filter, "-w", &file.to_string_lossy()];
        lab.start(node, DAEMON, DAEMON, args.map(str::to_owned).to_vec())?;
        lab.wait_for(node, DAEMON, || Ok(lab.log(node, DAEMON).contains("File: ")))?;
        Ok(Self {
            lab,
            node: node.to_owned(),
            file,
        })
    }

    /// Ends the recording, with everything in it that was sent until now.
    pub fn finish(self) -> Result<Pcap> {
        self.flush()?;
        self.lab.stop(&self.node, DAEMON, Signal::SIGINT)?;
        Ok(Pcap { file: self.file })
    }
}

impl Capture<'_> {
    /// The kernel hands packets over in blocks, and an unfinished block is lost when the recording ends. So a mark is
    /// sent until it is in the file: what came before it is there as well.
    fn flush(&self) -> Result<()> {
        let mark = format!("mark of lab {} at {}", self.lab.id(), self.node);
        let socket = self
            .lab
            .netns(&self.node)
            .enter(|| Ok(UdpSocket::bind("127.0.0.1:0")?))?;
        wait::until_true("dumpcap has written everything", PATIENCE, || {
            socket.send_to(mark.as_bytes(), DISCARD)?;
            let written = fs::read(&self.file)?;
            Ok(written
                .windows(mark.len())
                .any(|window| window == mark.as_bytes()))
        })
    }
}

impl Pcap {
    /// A capture that something else has written.
    pub fn read(file: PathBuf) -> Self {
        Self { file }
    }

    /// How many packets match a display filter.
    pub fn count(&self, filter: &str) -> Result<usize> {
        Ok(self.lines(filter, &["frame.number"])?.len())
    }

    /// The values of some fields in each packet that matches a display filter.
    pub fn lines(&self, filter: &str, fields: &[&str]) -> Result<Vec<String>> {
        let mut tshark = self.tshark(filter);
        tshark.args(["-T", "fields"]);
        fields.iter().for_each(|field| {
            tshark.args(["-e", field]);
        });
        Ok(run(&mut tshark)?.lines().map(str::to_owned).collect())
    }

    /// What a sender sent that tshark calls malformed or an error.
    ///
    /// One objection of tshark is known to be wrong and not counted: its dissector (4.0) takes 4096 bytes for the limit of
    /// a message also where both ends have negotiated extended messages (RFC 8654).
    pub fn faults(&self, sender: &str) -> Result<Vec<String>> {
        let protocol = if sender.contains(':') { "ipv6" } else { "ip" };
        let filter =
            format!("{protocol}.src == {sender} && (_ws.malformed || _ws.expert.severity == \"Error\")");
        let mut faults = self.lines(&filter, &["frame.number", "_ws.expert.message", "_ws.col.Info"])?;
        if self.extended_messages(protocol, sender)? {
            faults.retain(|line| !only_long(line.split('\t').nth(1).unwrap_or_default()));
        }
        Ok(faults)
    }

    /// Whether a sender and everybody who talks to it offer extended messages.
    fn extended_messages(&self, protocol: &str, sender: &str) -> Result<bool> {
        let opens = self.lines(
            &format!("{protocol}.addr == {sender} && bgp.type == 1"),
            &["bgp.cap.type"],
        )?;
        Ok(!opens.is_empty() && opens.iter().all(|types| types.split(',').any(|kind| kind == "6")))
    }

    fn tshark(&self, filter: &str) -> Command {
        let mut tshark = Command::new("tshark");
        // Names of hosts are nobody's business here, and preferences of the user are not either.
        tshark
            .args(["-n", "-C", "Default", "-r"])
            .arg(&self.file)
            .args(["-Y", filter]);
        tshark
    }
}

/// Whether the only objection to a packet is that a message is longer than 4096 bytes. The TTL is a remark, no objection.
fn only_long(messages: &str) -> bool {
    messages
        .split(',')
        .filter(|message| !message.contains("Time To Live"))
        .all(|message| {
            let length = message
                .strip_prefix("Length is invalid ")
                .and_then(|length| length.parse::<u32>().ok());
            length.is_some_and(|length| (4097..=65535).contains(&length))
        })
}

#[cfg(test)]
mod tests {
    use super::only_long;

    #[test]
    fn only_the_length_of_an_extended_message_is_excused() {
        assert!(only_long("\"Time To Live\" only 1,Length is invalid 7543"));
        assert!(!only_long("Length is invalid 18"));
        assert!(!only_long(
            "Length is invalid 7543,Malformed Packet (Exception occurred)"
        ));
    }
}
