//! Answers as an API server words them.

use serde_json::{Value, json};

use super::target::Target;

pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: String,
    pub(super) body: String,
}

pub(super) fn ok(body: String) -> Answer {
    Answer {
        code: 200,
        headers: String::new(),
        body,
    }
}

/// The paths that are no objects.
pub(super) fn plain(path: &str) -> Answer {
    match path.split('?').next() {
        Some("/readyz" | "/livez" | "/healthz") => ok("ok".to_owned()),
        Some("/version") => ok(r#"{"major":"1","minor":"20","gitVersion":"v1.20.2"}"#.to_owned()),
        _ => failure(404, ""),
    }
}

pub(super) fn not_found(target: &Target, name: &str) -> Answer {
    let message = format!("{} \"{name}\" not found", target.kind().plural);
    Answer {
        code: 404,
        ..ok(status_object(404, &message).to_string())
    }
}

pub(super) fn failure(code: u16, message: &str) -> Answer {
    // A kind that is not defined is a path that is not there.
    let body = match code {
        404 => "404 page not found\n".to_owned(),
        code => status_object(code, message).to_string(),
    };
    Answer {
        code,
        headers: String::new(),
        body,
    }
}

pub(super) fn status_object(code: u16, message: &str) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 if message.ends_with("already exists") => "AlreadyExists",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "",
    };
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
}

pub(super) fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        _ => "Other",
    }
}
