//! Asks a running agent, over HTTP/1.1 in TCP or in its control socket.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// From the connection to the last octet of the answer. The agent gives its threads 2 s to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The longest answer, in octets. A session takes some 2 kB, a recording some 100 kB.
const ANSWER_MAX: usize = 16 << 20;

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    authority: String,
}

/// What an agent says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code of HTTP.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no agent answers at {agent}: {source}; is twintor running, and is this its --http-address?")]
    Connect {
        /// The address.
        agent: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no control socket, or nobody listens there, or it is not for this user.
    #[error(
        "no agent answers at {}: {source}; is twintor running with this --control-socket, and is it the same user?",
        path.display()
    )]
    Control {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody listens, but does not speak HTTP, stops in the middle, or says too much.
    #[error("no usable answer from {agent}: {reason}")]
    Broken {
        /// The address.
        agent: String,
        /// What happened.
        reason: String,
    },
    /// It takes too long.
    #[error("no answer from {agent} within {} s", ANSWER_WITHIN.as_secs())]
    Timeout {
        /// The address.
        agent: String,
    },
    /// The agent says why it does not tell.
    #[error("the agent at {agent} answers {status}: {line}")]
    Refused {
        /// The address.
        agent: String,
        /// The status code of HTTP.
        status: u16,
        /// The first line of its reason.
        line: String,
    },
}

impl FromStr for Agent {
    type Err = String;

    /// Reads `http://host:port`, port 80 if there is none.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not the address of an agent; write http://HOST:PORT".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let path_is_empty = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("http") || !path_is_empty {
            return Err(wrong());
        }
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(wrong)?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            authority: format!("{}:{port}", authority.host()),
        })
    }
}

impl Agent {
    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What is at `path`, whatever the status code.
    ///
    /// # Errors
    /// Nobody answers, or not in time, or not in HTTP.
    pub async fn get(&self, path: &str) -> Result<Answer, AskError> {
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(path)).await;
        asked.unwrap_or_else(|_| {
            Err(AskError::Timeout {
                agent: self.authority.clone(),
            })
        })
    }

    /// What is at `path`, which has to be there.
    ///
    /// # Errors
    /// As [`Self::get`], and [`AskError::Refused`] where the agent does not tell.
    pub async fn get_ok(&self, path: &str) -> Result<Answer, AskError> {
        let answer = self.get(path).await?;
        if answer.status == 200 {
            return Ok(answer);
        }
        Err(AskError::Refused {
            agent: self.authority.clone(),
            status: answer.status,
            line: answer.text().lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// An answer that cannot be read is one that cannot be used.
    pub(super) fn unreadable(&self, error: &serde_json::Error) -> AskError {
        self.broken(format!("{error}; is it another version?"))
    }

    async fn ask(&self, path: &str) -> Result<Answer, AskError> {
        let connect = |source| AskError::Connect {
            agent: self.authority.clone(),
            source,
        };
        let stream = TcpStream::connect(&self.authority).await.map_err(connect)?;
        let request = Request::get(path)
            .header(HOST, &self.authority)
            .header(CONNECTION, "close")
            .body(Full::default())
            .map_err(|error| self.broken(error))?;
        exchange(stream, request)
            .await
            .map_err(|reason| self.broken(reason))
    }

    fn broken(&self, reason: impl ToString) -> AskError {
        AskError::Broken {
            agent: self.authority.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The control socket of an agent on this host.
#[derive(Clone, Debug)]
pub(super) struct ControlSocket<'a> {
    path: &'a Path,
}

impl<'a> ControlSocket<'a> {
    pub(super) fn at(path: &'a Path) -> Self {
        Self { path }
    }

    /// Sends JSON, and reads the JSON that is answered.
    ///
    /// # Errors
    /// As [`Agent::get_ok`].
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AskError> {
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(path, body)).await;
        let agent = self.path.display().to_string();
        let answer = asked.unwrap_or_else(|_| Err(AskError::Timeout { agent: agent.clone() }))?;
        if answer.status != 200 {
            return Err(AskError::Refused {
                agent,
                status: answer.status,
                line: answer.text().lines().next().unwrap_or_default().to_owned(),
            });
        }
        answer
            .json()
            .map_err(|error| self.broken(format!("{error}; is it another version?")))
    }

    async fn ask(&self, path: &str, body: &impl Serialize) -> Result<Answer, AskError> {
        let stream = UnixStream::connect(self.path)
            .await
            .map_err(|source| AskError::Control {
                path: self.path.to_owned(),
                source,
            })?;
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        let request = Request::post(path)
            .header(HOST, "localhost")
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| self.broken(error))?;
        exchange(stream, request)
            .await
            .map_err(|reason| self.broken(reason))
    }

    fn broken(&self, reason: impl ToString) -> AskError {
        AskError::Broken {
            agent: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

/// One request and its answer.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect();
    let body = body.await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok(Answer {
        status,
        body: body.to_bytes().into(),
    })
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none, or not of this form.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }
}
