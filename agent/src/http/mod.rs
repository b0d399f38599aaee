//! Health and status over HTTP. Read only: nothing here changes anything.
//!
//! The server is bounded in every direction, so that whoever can reach the port can delay a probe at most: one request
//! per connection, no request body is read, and connections have a number and a lifetime.

mod routes;

#[cfg(test)]
mod tests;

use crate::board::BoardReader;
use crate::report::ConfigReport;
use fabric::RackHandle;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 64;

/// From the connection to the end of the request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// From the connection to the last octet of the answer.
const DONE_WITHIN: Duration = Duration::from_secs(15);

/// The longest head of a request, in octets.
const HEAD_MAX: usize = 16 << 10;

/// How long to wait before the address, or a connection, is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// How long an answer of the rack thread may take before the thread counts as stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What the server tells about. Cheap to clone; clones share the rack.
#[derive(Clone, Debug, Default)]
pub struct Api {
    rack: Arc<OnceLock<RackHandle>>,
    problems: Option<BoardReader>,
    node: Option<Arc<str>>,
    config: Arc<OnceLock<watch::Receiver<ConfigReport>>>,
}

impl Api {
    /// Of an agent whose rack does not run yet.
    #[must_use]
    pub fn new(node: Option<&str>) -> Self {
        Self {
            rack: Arc::default(),
            problems: None,
            node: node.map(Into::into),
            config: Arc::default(),
        }
    }

    /// Tells about the problems on this board, too.
    #[must_use]
    pub fn with_problems(mut self, problems: BoardReader) -> Self {
        self.problems = Some(problems);
        self
    }

    /// The rack runs: from now on there is something to tell. Only the first call counts.
    pub fn set_rack(&self, rack: RackHandle) {
        // A process has one rack.
        let _ = self.rack.set(rack);
    }

    /// There is a configuration file. Only the first call counts.
    pub fn set_config(&self, config: watch::Receiver<ConfigReport>) {
        let _ = self.config.set(config);
    }
}

/// Starts the server on the current runtime. An address that cannot be had is tried again for ever.
pub fn spawn(address: SocketAddr, api: Api) {
    tokio::spawn(async move {
        let listener = bind(address).await;
        serve(listener, api).await;
    });
}

/// Serves on a listener, for as long as the future is polled.
pub async fn serve(listener: TcpListener, api: Api) {
    let router = routes::router(api);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut warned = false;
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                warned = false;
                let connection = connection(stream, router.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(%error, "the HTTP server cannot take a connection");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut warned = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(%address, "HTTP server listens");
                return listener;
            }
            Err(error) => {
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(
                        %address, %error,
                        "the HTTP server cannot listen; it tries again every {RETRY:?} (set --http-address to another)"
                    );
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// One request and its answer. Who is too slow is cut off; there is nobody to tell.
pub(crate) async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, router: axum::Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(DONE_WITHIN, served).await {
        tracing::debug!(%error, "HTTP connection ended");
    }
}
