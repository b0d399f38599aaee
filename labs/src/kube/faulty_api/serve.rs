//! One connection: requests, and what is answered.

use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::answer::{Answer, failure, not_found, ok, plain, reason};
use super::fault::{Fault, Verb};
use super::store::{Store, as_item, is_built_in, key, key_of};
use super::target::{Target, parse_token};
use super::watching;
use super::{Request, Shared};
use crate::kube::http::{Body, Head};

/// One connection, on which one request follows the other.
pub(super) struct Connection<'a> {
    pub(super) shared: &'a Shared,
    pub(super) socket: &'a TcpStream,
    pub(super) era: u64,
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
                Fault::Gone if request.verb == Some(Verb::List) && target.query("continue").is_some() => {
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
