//! A small client of API servers: one connection per request, nothing cached, nothing repeated. A test that uses it sees
//! what the server does, and nothing that a client library makes of it.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::http::{Body, Head};
use crate::netns::Netns;

/// Long enough for a server that is busy, short enough to fail a test that waits for one that is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many events may wait for a test to look at them.
const WAITING: usize = 100_000;

/// Whom to ask, as whom, and from where.
#[derive(Debug, Clone)]
pub struct ApiClient {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    token: Option<String>,
    netns: Option<Netns>,
    patience: Duration,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body; a string if it is no JSON.
    pub body: Value,
    head: Head,
}

/// An open watch.
#[derive(Debug)]
pub struct Watch {
    events: Receiver<Result<Value>>,
    socket: TcpStream,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

type ReplyBody = Body<BufReader<Box<dyn Stream>>>;

impl ApiClient {
    /// A client without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            token: None,
            netns: None,
            patience: PATIENCE,
        }
    }

    /// A client that trusts the last certificate of this file: a server that signs its own puts the signer there.
    pub fn tls(address: SocketAddr, certificates: &Path) -> Result<Self> {
        let pem = fs::read(certificates).with_context(|| format!("read {}", certificates.display()))?;
        let signer = CertificateDer::pem_slice_iter(&pem).last();
        let mut roots = RootCertStore::empty();
        roots.add(signer.context("no certificate")??)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Some(Arc::new(config)),
            ..Self::plain(address)
        })
    }

    /// Shows this token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Asks from inside a namespace.
    #[must_use]
    pub fn from(mut self, netns: &Netns) -> Self {
        self.netns = Some(netns.clone());
        self
    }

    /// Gives up when the server is silent for so long.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.request("GET", path, "", None)
    }

    /// Creates an object in a collection.
    pub fn post(&self, path: &str, object: &Value) -> Result<Reply> {
        self.request("POST", path, "application/json", Some(object))
    }

    /// Replaces an object.
    pub fn put(&self, path: &str, object: &Value) -> Result<Reply> {
        self.request("PUT", path, "application/json", Some(object))
    }

    /// Changes an object by a merge patch.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Reply> {
        self.request("PATCH", path, "application/merge-patch+json", Some(patch))
    }

    /// Deletes an object, and at once: there is no kubelet to be graceful for.
    pub fn delete(&self, path: &str) -> Result<Reply> {
        self.request("DELETE", &format!("{path}?gracePeriodSeconds=0"), "", None)
    }

    /// Sends a request and reads the whole answer, whatever its status is.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Reply> {
        let asked = || format!("{method} {path} of {}", self.address);
        let (stream, _) = self.connect().with_context(asked)?;
        let (head, mut body) = self
            .ask(stream, method, path, content_type, body)
            .with_context(asked)?;
        let mut text = String::new();
        body.read_to_string(&mut text).with_context(asked)?;
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply {
            status: status(&head)?,
            body: value,
            head,
        })
    }

    /// Opens a watch; `path` has everything but `watch=true`. It fails if the server does not answer with 200.
    pub fn watch(&self, path: &str) -> Result<Watch> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}watch=true");
        let (stream, socket) = self.connect()?;
        let (head, mut body) = self
            .ask(stream, "GET", &path, "", None)
            .with_context(|| format!("watch {path} of {}", self.address))?;
        let status = status(&head)?;
        if status != 200 {
            let mut text = String::new();
            body.read_to_string(&mut text)?;
            bail!("watch {path} of {}: {status} {text}", self.address);
        }
        // A watch may be silent for long; its reader decides how long it waits.
        socket.set_read_timeout(None)?;
        let (sender, events) = mpsc::sync_channel(WAITING);
        thread::spawn(move || follow(BufReader::new(body), &sender));
        Ok(Watch { events, socket })
    }

    fn connect(&self) -> Result<(Box<dyn Stream>, TcpStream)> {
        let connect = || TcpStream::connect_timeout(&self.address, self.patience).context("connect");
        let socket = match &self.netns {
            Some(netns) => netns.enter(connect)?,
            None => connect()?,
        };
        socket.set_read_timeout(Some(self.patience))?;
        socket.set_write_timeout(Some(self.patience))?;
        socket.set_nodelay(true)?;
        let other = socket.try_clone()?;
        let Some(tls) = &self.tls else {
            return Ok((Box::new(socket), other));
        };
        let name = ServerName::IpAddress(self.address.ip().into());
        let session = ClientConnection::new(Arc::clone(tls), name)?;
        Ok((Box::new(StreamOwned::new(session, socket)), other))
    }

    fn ask(
        &self,
        mut stream: Box<dyn Stream>,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(Head, ReplyBody)> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n",
            self.address
        );
        if let Some(token) = &self.token {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        let text = body.map(Value::to_string);
        if let Some(text) = &text {
            request += &format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
                text.len()
            );
        }
        request += "\r\n";
        request += text.as_deref().unwrap_or_default();
        stream.write_all(request.as_bytes()).context("send")?;
        stream.flush()?;
        let mut stream = BufReader::new(stream);
        let head = Head::read(&mut stream).context("read the head")?;
        let head = head.context("the server closed the connection without an answer")?;
        let body = Body::of_reply(&head, stream)?;
        Ok((head, body))
    }
}

impl Reply {
    /// A header; its name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body, if the server agreed.
    pub fn ok(self) -> Result<Value> {
        match self.status {
            200..300 => Ok(self.body),
            status => Err(anyhow!("{status}: {}", self.body["message"])),
        }
    }
}

impl Watch {
    /// The next event, or nothing once the server has ended the watch. It is an error if nothing comes in time, or if the
    /// watch breaks off within an event.
    pub fn next(&self, patience: Duration) -> Result<Option<Value>> {
        match self.events.recv_timeout(patience) {
            Ok(event) => event.map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(anyhow!("no event within {patience:?}")),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.body)
    }
}

fn status(head: &Head) -> Result<u16> {
    let code = head.first.split(' ').nth(1);
    code.and_then(|code| code.parse().ok())
        .with_context(|| format!("no answer: {}", head.first))
}

/// Hands on one event per line until there is nothing left or nobody listens.
fn follow(mut body: impl BufRead, events: &SyncSender<Result<Value>>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let event = match body.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => serde_json::from_slice(&line).context("a broken event"),
            Err(error) => Err(error).context("the watch broke off"),
        };
        let broken = event.is_err();
        if events.send(event).is_err() || broken {
            return;
        }
    }
}
