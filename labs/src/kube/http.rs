//! As much HTTP/1.1 as an API server and its clients speak: heads, and bodies with a length or in chunks.

use std::io::{BufRead, Read, Write};

use anyhow::{Context, Result, bail, ensure};

/// The first line and the headers of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) first: String,
    headers: Vec<(String, String)>,
}

/// A body that is read as its head says.
pub(super) struct Body<R> {
    source: R,
    framing: Framing,
}

enum Framing {
    Length(u64),
    /// What is left of the current chunk; none before the first.
    Chunks(Option<u64>),
    UntilClosed,
    Ended,
}

const LONGEST_HEAD: u64 = 64 * 1024;

impl Head {
    /// Reads a head; nothing if the other side closed the connection instead of starting one.
    pub(super) fn read(source: &mut impl BufRead) -> Result<Option<Self>> {
        let mut source = source.take(LONGEST_HEAD);
        let Some(first) = line(&mut source)? else {
            return Ok(None);
        };
        let mut headers = Vec::new();
        loop {
            let line = whole_line(&mut source)?;
            if line.is_empty() {
                return Ok(Some(Self { first, headers }));
            }
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("no header: {line}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A header; its name is given in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }
}

impl<R: BufRead> Body<R> {
    /// The body of a request, empty if the head promises none.
    pub(super) fn of_request(head: &Head, source: R) -> Result<Self> {
        let framing = framing(head)?.unwrap_or(Framing::Ended);
        Ok(Self { source, framing })
    }

    /// The body of an answer, up to the end of the connection if the head does not say.
    pub(super) fn of_reply(head: &Head, source: R) -> Result<Self> {
        let framing = framing(head)?.unwrap_or(Framing::UntilClosed);
        Ok(Self { source, framing })
    }

    fn next_chunk(&mut self, before: Option<u64>) -> Result<Framing> {
        if before.is_some() {
            ensure!(
                whole_line(&mut self.source)?.is_empty(),
                "a chunk is longer than it says"
            );
        }
        let size = whole_line(&mut self.source)?;
        let digits = size.split(';').next().unwrap_or_default();
        let size =
            u64::from_str_radix(digits, 16).with_context(|| format!("no size of a chunk: {size:?}"))?;
        if size > 0 {
            return Ok(Framing::Chunks(Some(size)));
        }
        while !whole_line(&mut self.source)?.is_empty() {}
        Ok(Framing::Ended)
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Framing::Chunks(before @ (None | Some(0))) = self.framing {
            self.framing = self.next_chunk(before).map_err(std::io::Error::other)?;
        }
        let left = match &mut self.framing {
            Framing::Ended | Framing::Length(0) => return Ok(0),
            Framing::UntilClosed => return self.source.read(buffer),
            Framing::Length(left) | Framing::Chunks(Some(left)) => left,
            Framing::Chunks(None) => return Err(std::io::Error::other("a body without chunks")),
        };
        let room = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.source.read(&mut buffer[..room])?;
        if count == 0 && room > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        *left -= count as u64;
        Ok(count)
    }
}

/// Writes a piece of a body that is sent in chunks.
pub(super) fn write_chunk(sink: &mut impl Write, data: &[u8]) -> std::io::Result<()> {
    write!(sink, "{:x}\r\n", data.len())?;
    sink.write_all(data)?;
    sink.write_all(b"\r\n")?;
    sink.flush()
}

fn framing(head: &Head) -> Result<Option<Framing>> {
    if let Some(coding) = head.header("transfer-encoding") {
        ensure!(coding.eq_ignore_ascii_case("chunked"), "a body that is {coding}");
        return Ok(Some(Framing::Chunks(None)));
    }
    let Some(length) = head.header("content-length") else {
        return Ok(None);
    };
    Ok(Some(Framing::Length(
        length
            .parse()
            .with_context(|| format!("content-length {length}"))?,
    )))
}

fn whole_line(source: &mut impl BufRead) -> Result<String> {
    line(source)?.context("the connection ended within a message")
}

fn line(source: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    source.read_until(b'\n', &mut line)?;
    match line.as_slice() {
        [] => return Ok(None),
        [.., b'\r', b'\n'] => line.truncate(line.len() - 2),
        _ => bail!("the connection ended within a line"),
    }
    String::from_utf8(line)
        .map(Some)
        .context("a line that is not text")
}
