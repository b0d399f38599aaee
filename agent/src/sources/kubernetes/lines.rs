use futures_util::AsyncBufReadExt;
use futures_util::io::AsyncBufRead;
use std::io;

/// The longest line of a watch. etcd holds no object of more than 1.5 MB by default.
const LONGEST: usize = 64 << 20;

/// The lines of a stream of bytes.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// Whether `line` was handed out and is to be forgotten.
    taken: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            taken: false,
        }
    }

    /// The next line without its end; `None` at the end of the stream. A last line that was not ended is dropped: it
    /// was cut off. May be cancelled: nothing is lost.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.taken) {
            self.line.clear();
        }
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Ok(None);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(available.len(), |end| end + 1);
            self.line.extend_from_slice(&available[..end.unwrap_or(used)]);
            self.reader.consume_unpin(used);
            if end.is_some() {
                self.taken = true;
                return Ok(Some(&self.line));
            }
            if self.line.len() > LONGEST {
                return Err(io::Error::other("a line of a watch is too long"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::io::{BufReader, Cursor};

    #[test]
    fn lines_across_reads_and_no_torn_one() {
        // A buffer of three octets makes each line come in several reads.
        let text = b"one\ntwo, longer\n\ntorn".to_vec();
        let mut lines = Lines::new(BufReader::with_capacity(3, Cursor::new(text)));
        let mut read = Vec::new();
        while let Some(Ok(Some(line))) = lines.next().now_or_never() {
            read.push(String::from_utf8_lossy(line).into_owned());
        }
        assert_eq!(read, ["one", "two, longer", ""]);
    }
}
