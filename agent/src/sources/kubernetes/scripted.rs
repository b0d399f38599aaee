//! An API server whose every answer is given by the test.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

type Answer = io::Result<Response<StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>>;

/// The requests, in the order in which they come.
pub(crate) struct Server {
    requests: mpsc::UnboundedReceiver<Asked>,
}

/// One request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) body: String,
    answer: oneshot::Sender<Answer>,
}

/// A watch that was answered. Dropping it ends it.
pub(crate) struct Watching {
    lines: mpsc::UnboundedSender<String>,
}

impl Server {
    pub(crate) fn new() -> (Client, Self) {
        let (asked, requests) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: Request<Body>| {
            let asked = asked.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let (method, uri) = (request.method().to_string(), request.uri().to_string());
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let body = String::from_utf8_lossy(&body).into_owned();
                let _ = asked.send(Asked {
                    method,
                    uri,
                    body,
                    answer,
                });
                match answered.await {
                    Ok(answer) => answer,
                    Err(_) => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                }
            }
        });
        (Client::new(service, "default"), Self { requests })
    }

    /// The next request, which must come within ten virtual minutes.
    pub(crate) async fn asked(&mut self) -> Asked {
        let asked = tokio::time::timeout(Duration::from_secs(600), self.requests.recv()).await;
        asked.expect("no request came").expect("the client is gone")
    }

    /// The next request, which must be a list; answered with these objects of that version.
    pub(crate) async fn list(&mut self, version: &str, items: &[Value]) {
        let asked = self.asked().await;
        assert!(!asked.uri.contains("watch=true"), "{}", asked.uri);
        asked.page(version, "", items);
    }

    /// The next request, which must be a watch from that version on.
    pub(crate) async fn watch(&mut self, version: &str) -> Watching {
        let asked = self.asked().await;
        let from = format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}&");
        assert!(asked.uri.contains(&from), "{} instead of {version}", asked.uri);
        asked.stream()
    }
}

impl Asked {
    pub(crate) fn page(self, version: &str, token: &str, items: &[Value]) {
        let metadata = json!({"resourceVersion": version, "continue": token});
        self.json(
            200,
            &json!({"kind": "List", "metadata": metadata, "items": items}),
        );
    }

    pub(crate) fn json(self, code: u16, value: &Value) {
        self.text(code, value.to_string());
    }

    pub(crate) fn text(self, code: u16, text: String) {
        let frame = Ok(Frame::data(Bytes::from(text)));
        self.respond(code, stream::iter([frame]).boxed());
    }

    pub(crate) fn status(self, code: u16, message: &str) {
        let status =
            json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": ""});
        self.json(code, &status);
    }

    /// No server there.
    pub(crate) fn refuse(self) {
        drop(self.answer);
    }

    pub(crate) fn stream(self) -> Watching {
        let (lines, received) = mpsc::unbounded_channel::<String>();
        let frames = stream::unfold(received, |mut received| async {
            let line = received.recv().await?;
            Some((Ok(Frame::data(Bytes::from(line))), received))
        });
        self.respond(200, frames.boxed());
        Watching { lines }
    }

    fn respond(self, code: u16, frames: BoxStream<'static, io::Result<Frame<Bytes>>>) {
        let response = Response::builder().status(code).body(StreamBody::new(frames));
        let _ = self.answer.send(Ok(response.expect("a response")));
    }
}

impl Watching {
    pub(crate) fn line(&self, kind: &str, object: &Value) {
        self.text(&format!("{}\n", json!({"type": kind, "object": object})));
    }

    pub(crate) fn text(&self, text: &str) {
        let _ = self.lines.send(text.to_owned());
    }

    /// The watch is told that its version is too old.
    pub(crate) fn expire(self) {
        self.line(
            "ERROR",
            &json!({"kind": "Status", "code": 410, "message": "too old"}),
        );
    }
}
