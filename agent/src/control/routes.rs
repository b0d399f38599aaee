//! What the control socket answers.

use super::Control;
use crate::config::MAX_FILE;
use crate::report::{PlanReport, PlanRequest};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};

/// A text in JSON, with every octet escaped.
const BODY_MAX: usize = MAX_FILE as usize * 6 + 4096;

/// One line for whoever asked.
type Refusal = (StatusCode, String);

pub(super) fn router(control: Control) -> Router {
    Router::new()
        .route("/api/v1/plan", post(plan))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "there is nothing at this address; try POST /api/v1/plan\n",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(control)
}

async fn plan(
    State(control): State<Control>,
    Json(request): Json<PlanRequest>,
) -> Result<Json<PlanReport>, Refusal> {
    let unavailable = |line: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{line}\n"));
    let planner = control.planner.get();
    let planner = planner.ok_or_else(|| {
        unavailable("the rack is not started, it waits for a route to a switch (or set the router id)")
    })?;
    let PlanRequest {
        name,
        text,
        directory,
    } = request;
    let planned = planner.plan(&name, &text, &directory).await;
    let report = planned.map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")))?;
    report
        .map(Json)
        .ok_or_else(|| unavailable("the rack thread has ended"))
}
