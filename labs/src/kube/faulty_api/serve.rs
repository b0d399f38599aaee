//! One connection: requests, and what is answered.

use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::fault::{Fault, Verb};
use super::store::{Store, as_item, is_built_in, key, key_of};
use super::watching;
use super::{Request, Shared};
use crate::kube::http::{Body, Head};
use crate::kube::kinds::{KINDS, Kind};

/// What the path of a request means.
pub(super) struct Target {
    /// Its place in [`KINDS`].
    pub(super) kind: usize,
    pub(super) namespace: Option<String>,
    name: Option<String>,
    status: bool,
    query: Vec<(String, String)>,
}

/// One connection, on which one request follows the other.
pub(super) struct Connection<'a> {
    pub(super) shared: &'a Shared,
    pub(super) socket: &'a TcpStream,
    pub(super) era: u64,
}

struct Answer {
    code: u16,
    headers: String,
    body: String,
}

/// Serves a connection to its end.
pub(super) fn connection(shared: &Shared, socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut state = shared.lock();
    let (number, era) = (state.next_connection, state.era);
    state.next_connection += 1;
    state.connections.push((number, socket.try_clone()?));
    drop(state);
    let connection = Connection {
        shared,
        socket: &socket,
        era,
    };
    let served = connection.serve();
    let _ = socket.shutdown(Shutdown::Both);
    let mut state = shared.lock();
    state.connections.retain(|(known, _)| *known != number);
    drop(state);
    served
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let words = path.trim_matches('/').split('/').collect::<Vec<_>>();
        let (group, version, rest) = match words.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some(*name), false),
            [plural, name, "status"] => (*plural, Some(*name), true),
            _ => return None,
        };
        let known = |kind: &Kind| kind.group == group && kind.version == version && kind.plural == plural;
        Some(Self {
            kind: KINDS.iter().position(known)?,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            status,
            query: query.split('&').filter_map(parameter).collect(),
        })
    }

    /// A parameter that is set and not empty.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let value = self.query.iter().find(|(known, _)| known == name);
        value
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "1"))
    }

    pub(super) fn kind(&self) -> &'static Kind {
        &KINDS[self.kind]
    }

    fn verb(&self, method: &str) -> Verb {
        match (method, &self.name) {
            ("GET", None) if self.flag("watch") => Verb::Watch,
            ("GET", None) => Verb::List,
            ("GET", Some(_)) => Verb::Get,
            _ => Verb::Write,
        }
    }

    /// Whether the server can select by these fields: it cannot by just any.
    fn check_fields(&self) -> Result<()> {
        for (field, _, _) in requirements(self.query("fieldSelector")) {
            let known = match field {
                "metadata.name" | "metadata.namespace" => true,
                "spec.nodeName" | "spec.restartPolicy" | "status.phase" | "status.podIP" => {
                    self.kind().name == "Pod"
                }
                _ => false,
            };
            anyhow::ensure!(known, "field label not supported: {field}");
        }
        Ok(())
    }

    /// Whether a list or a watch is about this object. An object that is not there matches nothing.
    pub(super) fn selects(&self, object: Option<&str>) -> Result<bool> {
        let Some(text) = object else { return Ok(false) };
        let (labels, fields) = (self.query("labelSelector"), self.query("fieldSelector"));
        if labels.is_none() && fields.is_none() && self.namespace.is_none() {
            return Ok(true);
        }
        let object: Value = serde_json::from_str(text)?;
        let meta = &object["metadata"];
        if self
            .namespace
            .as_deref()
            .is_some_and(|only| meta["namespace"] != only)
        {
            return Ok(false);
        }
        for (field, wanted, equal) in requirements(fields) {
            let mut value = &object;
            for part in field.split('.') {
                value = &value[part];
            }
            if (value.as_str().unwrap_or_default() == wanted) != equal {
                return Ok(false);
            }
        }
        let matching =
            requirements(labels).all(|(label, wanted, equal)| (meta["labels"][label] == wanted) == equal);
        Ok(matching)
    }
}

impl Connection<'_> {
    fn serve(&self) -> Result<()> {
        let mut source = BufReader::new(self.socket);
        while let Some(head) = Head::read(&mut source)? {
            let mut text = String::new();
            Body::of_request(&head, &mut source)?.read_to_string(&mut text)?;
            let mut words = head.first.split(' ');
            let (method, path) = (
                words.next().context("no method")?,
                words.next().context("no path")?,
            );
            let target = Target::parse(path);
            let verb = target.as_ref().map(|target| target.verb(method));
            let request = Request {
                method: method.to_owned(),
                path: path.to_owned(),
                verb,
                kind: target.as_ref().map_or("", |target| target.kind().name),
                token: head
                    .header("authorization")
                    .and_then(|value| value.strip_prefix("Bearer "))
                    .map(str::to_owned),
                body: serde_json::from_str(&text).unwrap_or_default(),
                at: Instant::now(),
            };
            let faults = {
                let mut state = self.shared.lock();
                state.requests.push(request.clone());
                verb.map_or_else(Vec::new, |verb| state.rules.meet(request.kind, verb))
            };
            let Some(target) = target else {
                self.answer(&plain(path), false)?;
                continue;
            };
            if !self.answer_target(&target, &request, faults)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the connection may serve another request.
    fn answer_target(&self, target: &Target, request: &Request, faults: Vec<Fault>) -> Result<bool> {
        let mut truncated = false;
        for fault in &faults {
            match fault {
                Fault::BlackHole => return self.swallow(Duration::MAX).map(|()| false),
                Fault::Slow(delay) => self.swallow(*delay)?,
                Fault::Status(code) => return self.answer(&failure(*code, "injected"), false).map(|()| true),
                Fault::TooMany(seconds) => {
                    let mut answer = failure(429, "injected");
                    let _ = write!(answer.headers, "Retry-After: {seconds}\r\n");
                    return self.answer(&answer, false).map(|()| true);
                }
                Fault::Gone if request.verb == Some(Verb::List) && continues(target) => {
                    return self.answer(&failure(410, "injected"), false).map(|()| true);
                }
                Fault::Truncated => truncated = true,
                Fault::EmptyList
                | Fault::HalfList
                | Fault::Gone
                | Fault::ShortWatch(_)
                | Fault::Duplicates
                | Fault::Stale
                | Fault::BookmarksOnly => {}
            }
        }
        if let Err(error) = target.check_fields() {
            return self
                .answer(&failure(400, &error.to_string()), false)
                .map(|()| true);
        }
        if request.verb == Some(Verb::Watch) {
            watching::watch(self, target, faults)?;
            return Ok(false);
        }
        let answer = match (request.method.as_str(), &target.name) {
            ("GET", None) => self.list(target, &faults),
            ("GET", Some(name)) => Ok(self.get(target, name)),
            (method, name) => self.write(target, method, name.as_deref(), request.body.clone()),
        };
        let answer = answer.unwrap_or_else(|error| failure(400, &format!("{error:#}")));
        self.answer(&answer, truncated)?;
        Ok(!truncated)
    }

    /// Does nothing for this time, or until the server stops or the client leaves.
    pub(super) fn swallow(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        while start.elapsed() < time {
            if state.era != self.era || watching::left(self.socket) {
                bail!("the connection has ended");
            }
            let rest = time.saturating_sub(start.elapsed());
            state = self.shared.wait(state, rest.min(watching::GLANCE));
        }
        Ok(())
    }

    fn list(&self, target: &Target, faults: &[Fault]) -> Result<Answer> {
        let state = self.shared.lock();
        let store = &state.store;
        let limit = target.query("limit").map_or(Ok(usize::MAX), str::parse)?;
        let token = target.query("continue");
        let (revision, after) = match token.map(parse_token) {
            None => (store.revision(), None),
            Some(Some((revision, namespace, name))) => (revision, Some((namespace, name))),
            Some(None) => bail!("continue key is not valid"),
        };
        if revision < store.oldest() {
            return Ok(failure(410, "The provided continue parameter is too old"));
        }
        let mut items = Vec::new();
        let mut next = String::new();
        for (key, text) in store.list(target.kind, after) {
            if !target.selects(Some(text))? {
                continue;
            }
            if items.len() == limit {
                break;
            }
            items.push(text);
            next = format!("{revision}:{}/{}", key.1, key.2);
        }
        let more = items.len() == limit && self.more_after(store, target, &next)?;
        let mut next = if more { next } else { String::new() };
        if faults.contains(&Fault::EmptyList) {
            items.clear();
            next.clear();
        } else if faults.contains(&Fault::HalfList) {
            items.truncate(items.len() / 2);
            next.clear();
        }
        let mut meta = json!({ "resourceVersion": revision.to_string() });
        let kind = target.kind();
        // Lists of custom resources always have the field.
        if !next.is_empty() || !is_built_in(kind) {
            meta["continue"] = next.into();
        }
        let mut body = format!(
            r#"{{"kind":"{}List","apiVersion":"{}","metadata":{meta},"items":["#,
            kind.name,
            kind.api_version()
        );
        for (number, text) in items.into_iter().enumerate() {
            if number > 0 {
                body.push(',');
            }
            let (start, rest) = as_item(kind, text);
            body += start;
            body += rest;
        }
        body += "]}";
        Ok(ok(body))
    }

    fn more_after(&self, store: &Store, target: &Target, token: &str) -> Result<bool> {
        let after = parse_token(token).map(|(_, namespace, name)| (namespace, name));
        for (_, text) in store.list(target.kind, after) {
            if target.selects(Some(text))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn get(&self, target: &Target, name: &str) -> Answer {
        let key = key(target.kind, target.namespace.as_deref().unwrap_or_default(), name);
        match self.shared.lock().store.get(&key) {
            Some(text) => ok(text.to_string()),
            None => not_found(target, name),
        }
    }

    fn write(&self, target: &Target, method: &str, name: Option<&str>, body: Value) -> Result<Answer> {
        let mut state = self.shared.lock();
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let answer = match (method, name) {
            ("POST", None) => create(&mut state.store, target, namespace, body)?,
            ("PUT" | "PATCH", Some(name)) => {
                let merge = method == "PATCH";
                change(&mut state.store, target, namespace, name, body, merge)?
            }
            ("DELETE", Some(name)) => match state.store.delete(&key(target.kind, namespace, name))? {
                Some(text) => ok(text.to_string()),
                None => not_found(target, name),
            },
            _ => failure(
                405,
                "the server does not allow this method on the requested resource",
            ),
        };
        drop(state);
        self.shared.changed.notify_all();
        Ok(answer)
    }

    fn answer(&self, answer: &Answer, truncated: bool) -> Result<()> {
        let Answer { code, headers, body } = answer;
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "text/plain"
        };
        let head = format!(
            "HTTP/1.1 {code} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{headers}\r\n",
            reason(*code),
            body.len()
        );
        let sent = if truncated { body.len() / 2 } else { body.len() };
        let mut socket = self.socket;
        socket.write_all(head.as_bytes())?;
        socket.write_all(&body.as_bytes()[..sent])?;
        Ok(())
    }
}

fn create(store: &mut Store, target: &Target, namespace: &str, mut body: Value) -> Result<Answer> {
    let kind = target.kind();
    let meta = body["metadata"]
        .as_object_mut()
        .context("an object without metadata")?;
    if kind.namespaced {
        meta.insert("namespace".into(), namespace.into());
    }
    if let (None, Some(stem)) = (meta.get("name"), meta.get("generateName").and_then(Value::as_str)) {
        let end = std::iter::repeat_with(fastrand::lowercase)
            .take(5)
            .collect::<String>();
        let name = format!("{stem}{end}");
        meta.insert("name".into(), name.into());
    }
    body["apiVersion"] = kind.api_version().into();
    body["kind"] = kind.name.into();
    let key = key_of(&body)?;
    if store.get(&key).is_some() {
        return Ok(failure(
            409,
            &format!("{} \"{}\" already exists", kind.plural, key.2),
        ));
    }
    let text = store.put(body)?;
    Ok(Answer {
        code: 201,
        ..ok(text.to_string())
    })
}

/// Replaces or merges; a patch of what is not there creates it if it is an object of its own, as an apply does.
fn change(
    store: &mut Store,
    target: &Target,
    namespace: &str,
    name: &str,
    body: Value,
    merge: bool,
) -> Result<Answer> {
    let known = store.get(&key(target.kind, namespace, name)).cloned();
    let Some(known) = known else {
        let applied = merge && !target.status && body["metadata"]["name"] == name;
        return if applied {
            create(store, target, namespace, body)
        } else {
            Ok(not_found(target, name))
        };
    };
    let mut object: Value = serde_json::from_str(&known)?;
    let wanted = &body["metadata"]["resourceVersion"];
    if wanted.is_string() && *wanted != object["metadata"]["resourceVersion"] {
        return Ok(failure(
            409,
            "the object has been modified; please apply your changes to the latest version",
        ));
    }
    match (target.status, merge) {
        (true, true) => merge_into(&mut object["status"], &body["status"]),
        (true, false) => object["status"] = body["status"].clone(),
        (false, true) => merge_into(&mut object, &body),
        (false, false) => {
            let status = object["status"].take();
            object = body;
            if !status.is_null() {
                object["status"] = status;
            }
        }
    }
    Ok(ok(store.put(object)?.to_string()))
}

/// RFC 7396.
fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match (value, target.as_object_mut()) {
            (Value::Null, Some(object)) => drop(object.remove(key)),
            _ => merge_into(&mut target[key], value),
        }
    }
}

fn continues(target: &Target) -> bool {
    target.query("continue").is_some()
}

fn parse_token(token: &str) -> Option<(u64, &str, &str)> {
    let (revision, rest) = token.split_once(':')?;
    let (namespace, name) = rest.split_once('/')?;
    Some((revision.parse().ok()?, namespace, name))
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (!name.is_empty()).then(|| (decode(name), decode(value)))
}

/// Undoes the encoding of a query.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let coded = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = after;
        match (first, coded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a selector demands: a name, a value, and whether they are to be equal.
fn requirements(selector: Option<&str>) -> impl Iterator<Item = (&str, &str, bool)> {
    let parts = selector.into_iter().flat_map(|selector| selector.split(','));
    parts.filter_map(|part| {
        if let Some((name, value)) = part.split_once("!=") {
            return Some((name, value, false));
        }
        let (name, value) = part.split_once("==").or_else(|| part.split_once('='))?;
        Some((name, value, true))
    })
}

fn ok(body: String) -> Answer {
    Answer {
        code: 200,
        headers: String::new(),
        body,
    }
}

/// The paths that are no objects.
fn plain(path: &str) -> Answer {
    match path.split('?').next() {
        Some("/readyz" | "/livez" | "/healthz") => ok("ok".to_owned()),
        Some("/version") => ok(r#"{"major":"1","minor":"20","gitVersion":"v1.20.2"}"#.to_owned()),
        _ => failure(404, ""),
    }
}

fn not_found(target: &Target, name: &str) -> Answer {
    let message = format!("{} \"{name}\" not found", target.kind().plural);
    Answer {
        code: 404,
        ..ok(status_object(404, &message).to_string())
    }
}

fn failure(code: u16, message: &str) -> Answer {
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

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        _ => "Other",
    }
}
