//! What each address answers.

use super::{ANSWER_WITHIN, Api};
use crate::report::{BfdReport, ProblemsReport, RecordingReport, RouteReport, StatusReport};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use fabric::{PairState, PlaneStatus, RackHandle, RackStatus};
use net::bfd::{BfdHandle, Recording};
use std::net::IpAddr;
use std::time::Duration;
use wire::Prefix;

/// One line for whoever asked.
type Refusal = (StatusCode, String);

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/problems", get(problems))
        .route("/api/v1/bfd", get(bfd))
        .route("/api/v1/bfd/{peer}/recording", get(recording))
        .route("/api/v1/bfd/{peer}/recording.pcapng", get(capture))
        .route("/api/v1/routes/{*prefix}", get(route))
        .route(
            "/metrics",
            get(async || (StatusCode::NOT_FOUND, "this version has no metrics yet\n")),
        )
        .fallback(async || {
            let known = "/healthz, /livez, /readyz, /api/v1/status, /api/v1/problems, /api/v1/bfd, /api/v1/bfd/PEER/recording, \
                         /api/v1/bfd/PEER/recording.pcapng, /api/v1/routes/PREFIX";
            (
                StatusCode::NOT_FOUND,
                format!("there is nothing at this address; try {known}\n"),
            )
        })
        .with_state(api)
}

/// Whether the node may be counted on: the first full sync is done and a plane is usable.
///
/// # Errors
/// Why not, in one line.
pub(super) fn readiness(rack: &RackStatus) -> Result<(), String> {
    if !rack.complete {
        return Err("not ready: the first full sync is not done".to_owned());
    }
    if rack.pair != PairState::Isolated {
        return Ok(());
    }
    let sessions = rack.planes.iter().flat_map(|plane| &plane.sessions);
    let states = sessions.map(|session| format!("{} is {}", session.neighbor, session.state));
    let states: Vec<_> = states.collect();
    Err(format!("not ready: no plane is usable ({})", states.join(", ")))
}

/// A rack that is not there yet waits for something outside; a restart would not help.
async fn live(State(api): State<Api>) -> Result<&'static str, Refusal> {
    let Some(rack) = api.rack.get() else {
        return Ok("ok: the rack is being started\n");
    };
    ask_status(rack).await?;
    if let Some(bfd) = rack.bfd() {
        ask_bfd(bfd, |bfd| bfd.snapshot().map(drop)).await?;
    }
    Ok("ok\n")
}

async fn ready(State(api): State<Api>) -> Result<&'static str, Refusal> {
    let watch = rack(&api)?.watch();
    if watch.has_changed().is_err() {
        return Err(unavailable("not ready: the rack thread has ended"));
    }
    readiness(&watch.borrow()).map_err(unavailable)?;
    Ok("ok\n")
}

async fn status(State(api): State<Api>) -> Result<Json<StatusReport>, Refusal> {
    let handle = rack(&api)?;
    let rack = ask_status(handle).await?;
    let bfd = bfd_report(handle, &rack.planes).await.ok();
    Ok(Json(StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: api.node.as_deref().map(str::to_owned),
        rack,
        bfd,
        problems: problems_report(&api),
        config: api.config.get().map(|config| config.borrow().clone()),
    }))
}

async fn problems(State(api): State<Api>) -> Json<ProblemsReport> {
    Json(problems_report(&api))
}

fn problems_report(api: &Api) -> ProblemsReport {
    let problems = api.problems.as_ref();
    problems
        .map(|board| board.read().as_ref().clone())
        .unwrap_or_default()
}

async fn bfd(State(api): State<Api>) -> Result<Json<BfdReport>, Refusal> {
    let handle = rack(&api)?;
    let planes = handle.watch().borrow().planes.clone();
    bfd_report(handle, &planes).await.map(Json)
}

async fn recording(
    State(api): State<Api>,
    Path(peer): Path<String>,
) -> Result<Json<RecordingReport>, Refusal> {
    let handle = rack(&api)?;
    let recording = recording_of(handle, &peer).await?;
    let planes = &handle.watch().borrow().planes.clone();
    Ok(Json(RecordingReport::new(&recording, planes)))
}

async fn capture(State(api): State<Api>, Path(peer): Path<String>) -> Result<Response, Refusal> {
    let recording = recording_of(rack(&api)?, &peer).await?;
    let mut file = Vec::new();
    recording.write_pcapng(&mut file).map_err(|error| {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot write the capture: {error}\n"),
        )
    })?;
    let name = format!(
        "attachment; filename=\"bfd-{}.pcapng\"",
        recording.peer.to_string().replace(':', "-")
    );
    let headers = [
        (CONTENT_TYPE, "application/x-pcapng".to_owned()),
        (CONTENT_DISPOSITION, name),
    ];
    Ok((headers, file).into_response())
}

async fn route(State(api): State<Api>, Path(prefix): Path<String>) -> Result<Json<RouteReport>, Refusal> {
    let prefix: Prefix = prefix
        .parse()
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let asked = rack(&api)?.route(prefix);
    let sessions = in_time(asked).await?;
    let explanation = match &api.problems {
        Some(board) => in_time(board.explain(prefix)).await?,
        None => None,
    };
    Ok(Json(RouteReport {
        prefix: prefix.to_string(),
        sessions,
        explanation,
    }))
}

fn unavailable(line: impl std::fmt::Display) -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{line}\n"))
}

fn rack(api: &Api) -> Result<&RackHandle, Refusal> {
    let starting =
        "not ready: the rack is not started, it waits for a route to a switch (or set --router-id)";
    api.rack.get().ok_or_else(|| unavailable(starting))
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Refusal> {
    let late = |_| {
        let seconds = Duration::as_secs(&ANSWER_WITHIN);
        unavailable(format_args!(
            "the rack thread has not answered within {seconds} s"
        ))
    };
    tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(late)
}

async fn ask_status(rack: &RackHandle) -> Result<RackStatus, Refusal> {
    let status = in_time(rack.status()).await?;
    status.ok_or_else(|| unavailable("the rack thread has ended"))
}

/// The BFD thread is asked from a thread that may wait.
async fn ask_bfd<T: Send + 'static>(
    bfd: &BfdHandle,
    question: impl FnOnce(&BfdHandle) -> Option<T> + Send + 'static,
) -> Result<T, Refusal> {
    let bfd = bfd.clone();
    let answer = tokio::task::spawn_blocking(move || question(&bfd)).await;
    let answer = answer.ok().flatten();
    answer.ok_or_else(|| unavailable("the BFD thread does not answer"))
}

async fn bfd_report(rack: &RackHandle, planes: &[PlaneStatus]) -> Result<BfdReport, Refusal> {
    let Some(bfd) = rack.bfd() else {
        return Ok(BfdReport::default());
    };
    let snapshot = ask_bfd(bfd, BfdHandle::snapshot).await?;
    Ok(BfdReport::new(&snapshot, planes))
}

async fn recording_of(rack: &RackHandle, peer: &str) -> Result<Recording, Refusal> {
    let address: IpAddr = peer
        .parse()
        .map_err(|_| (StatusCode::BAD_REQUEST, format!("{peer:?} is no IP address\n")))?;
    let nobody = || {
        (
            StatusCode::NOT_FOUND,
            format!("there is no BFD session with {address}\n"),
        )
    };
    let bfd = rack.bfd().ok_or_else(nobody)?;
    let found = ask_bfd(bfd, move |bfd| {
        let snapshot = bfd.snapshot()?;
        let session = snapshot.sessions.iter().find(|session| session.peer == address);
        Some(session.and_then(|session| bfd.recording(session.key)))
    });
    found.await?.ok_or_else(nobody)
}
