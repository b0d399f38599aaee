//! From the text to the file, and from a field to its place.

use super::error::{ConfigError, Problem};
use super::model::ConfigFile;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, UserMessageFormatter};
use std::fmt;

/// A file of that name and text. A problem that is found later is placed in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// Reads the text.
    ///
    /// # Errors
    /// It is no YAML, or a field of it is unknown, missing or cannot be read.
    pub(super) fn read(self) -> Result<ConfigFile, ConfigError> {
        let mut failed_at = None;
        let read =
            serde_saphyr::with_deserializer_from_str_with_options(self.text, options(), |deserializer| {
                serde_path_to_error::deserialize(deserializer).map_err(|error| {
                    failed_at = Some(error.path().to_string());
                    error.into_inner()
                })
            });
        let error = match read {
            Ok(file) => return Ok(file),
            Err(error) => error,
        };
        let place = error.location().map(|at| (at.line(), at.column()));
        let field = failed_at
            .filter(|path| path != "." && path != "?")
            .unwrap_or_default();
        let place = place.filter(|place| *place != (0, 0));
        Err(ConfigError {
            file: self.name.to_owned(),
            at: place.or_else(|| self.locate(&field)),
            message: message(&error),
            other_file: None,
            field,
        })
    }

    /// Names the place of a problem.
    pub(super) fn place(self, problem: Problem) -> ConfigError {
        let found = problem
            .fields
            .iter()
            .find_map(|field| Some((field, self.locate(field)?)));
        let (field, at) = match found {
            Some((field, at)) => (field.clone(), Some(at)),
            None => (problem.fields.first().cloned().unwrap_or_default(), None),
        };
        ConfigError {
            file: self.name.to_owned(),
            at,
            field,
            message: problem.message,
            other_file: problem.other_file,
        }
    }

    /// Whether a field is in the text.
    pub(super) fn has(self, field: &str) -> bool {
        self.locate(field).is_some()
    }

    /// Line and column of the value of a field like `planes[1].holdTime`.
    fn locate(self, field: &str) -> Option<(u64, u64)> {
        if field.is_empty() {
            return None;
        }
        let tree: Spanned<Tree> = serde_saphyr::from_str_with_options(self.text, options()).ok()?;
        let mut at = &tree;
        for step in field.replace('[', ".[").split('.') {
            at = match (&at.value, step.strip_prefix('[')) {
                (Tree::List(items), Some(index)) => {
                    items.get(index.trim_end_matches(']').parse::<usize>().ok()?)?
                }
                (Tree::Mapping(fields), None) => &fields.iter().find(|(name, _)| name == step)?.1,
                _ => return None,
            };
        }
        Some((at.referenced.line(), at.referenced.column()))
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
    }
}

/// In one line, without the place.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error
        .without_snippet()
        .render_with_formatter(&UserMessageFormatter);
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    // The place is said in front.
    let place = error
        .location()
        .map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    match place.and_then(|place| text.strip_suffix(&place).map(str::to_owned)) {
        Some(text) => text,
        None => text,
    }
}

/// Any YAML, with the place of each value.
enum Tree {
    Scalar,
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(String, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Mapping(fields))
    }
}
