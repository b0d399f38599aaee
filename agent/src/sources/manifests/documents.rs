//! From the text of a file to objects. Pure.

use crate::objects::{Kind, Loose, Object, ObjectKey, read_document};

/// All that is in one file.
#[derive(Debug, Default)]
pub(super) struct FileContent {
    pub(super) objects: Vec<Object>,
    pub(super) defects: Vec<Defect>,
}

/// A document, or an item of a list in it, that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    /// Which document of the file, from 1.
    pub(super) document: usize,
    /// The line in the file, from 1.
    pub(super) line: u64,
    /// The object it would be; `None` if that cannot be told.
    pub(super) key: Option<ObjectKey>,
    /// Whether it may be an object of a kind that is read.
    pub(super) may_be_object: bool,
    pub(super) message: String,
}

/// Reads a file: JSON values one after another if its name ends in `.json`, else YAML documents. One bad YAML
/// document does not hide the others.
pub(super) fn parse(file: &str, text: &str) -> FileContent {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut content = FileContent::default();
    if file.ends_with(".json") {
        content.read_json(text);
    } else {
        content.read_yaml(text);
    }
    content
}

/// The documents of a file that can be read, whatever they are.
pub(super) fn values(file: &str, text: &str) -> Vec<Loose> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if file.ends_with(".json") {
        let stream = serde_json::Deserializer::from_str(text).into_iter();
        return stream.map_while(Result::ok).collect();
    }
    let documents = split(text)
        .into_iter()
        .filter(|(_, document)| !is_blank(document));
    let read = documents.map(|(_, document)| serde_saphyr::from_str_with_options(document, yaml_options()));
    read.filter_map(Result::ok).collect()
}

impl FileContent {
    fn read_json(&mut self, text: &str) {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Loose>();
        let mut document = 0;
        loop {
            let rest = &text[stream.byte_offset()..];
            let blank = rest.len() - rest.trim_start().len();
            let line = line_at(text, stream.byte_offset() + blank);
            document += 1;
            match stream.next() {
                None => return,
                Some(Ok(value)) => self.take(document, line, &value),
                Some(Err(error)) => {
                    let line = error.line() as u64;
                    return self.syntax_error(document, line, one_line(&error.to_string()), None);
                }
            }
        }
    }

    fn read_yaml(&mut self, text: &str) {
        let documents = split(text)
            .into_iter()
            .filter(|(_, document)| !is_blank(document));
        for (number, (first_line, document)) in documents.enumerate() {
            match serde_saphyr::from_str_with_options::<Loose>(document, yaml_options()) {
                Ok(value) => self.take(number + 1, first_line + head_lines(document), &value),
                Err(error) => {
                    let line = error
                        .location()
                        .map_or(first_line, |at| first_line + at.line().saturating_sub(1));
                    let message = one_line(&error.without_snippet().to_string());
                    self.syntax_error(number + 1, line, message, identify(document));
                }
            }
        }
    }

    fn take(&mut self, document: usize, line: u64, value: &Loose) {
        for result in read_document(&value.0) {
            match result {
                Ok(object) => self.objects.push(object),
                Err(error) => self.defects.push(Defect {
                    document,
                    line,
                    may_be_object: error.key.is_some() || error.kind.may_be_object(),
                    message: error.to_string(),
                    key: error.key,
                }),
            }
        }
    }

    fn syntax_error(&mut self, document: usize, line: u64, message: String, key: Option<ObjectKey>) {
        self.defects.push(Defect {
            document,
            line,
            key,
            may_be_object: true,
            message: format!("cannot be read: {message}"),
        });
    }
}

/// Values stay as people wrote them: `yes` is a word, `0755` and `1_000` are texts. The budget allows what a node
/// can have (a million pods, each an item of one list), while aliases stay limited.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000_000,
            max_nodes: 100_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        emit_comments: false,
    }
}

/// The documents of a YAML stream with the line each begins in. A line that begins with `---` and a blank always
/// begins a document (YAML 1.2.2 section 9.1.2, `c-forbidden`), whatever is around it.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if is_marker && !has_directive(&text[start..offset]) {
            documents.push((start_line, &text[start..offset]));
            start = offset;
            start_line = number as u64 + 1;
        }
        offset += line.len();
    }
    documents.push((start_line, &text[start..]));
    documents
}

/// Whether a text holds nothing but comments and directives such as `%YAML 1.2`, which belong to the document
/// after the marker.
fn has_directive(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut directive = false;
    lines.all(|line| {
        directive |= line.starts_with('%');
        line.starts_with(['%', '#'])
    }) && directive
}

fn is_blank(document: &str) -> bool {
    document.lines().all(is_blank_line)
}

/// How many lines there are before the content.
fn head_lines(document: &str) -> u64 {
    document.lines().take_while(|line| is_blank_line(line)).count() as u64
}

/// Whether a line holds no content: nothing, a comment, or the mark of a document.
fn is_blank_line(line: &str) -> bool {
    let line = line.trim();
    let line = line.strip_prefix("---").map_or(line, str::trim_start);
    line.is_empty() || line.starts_with('#') || line == "..."
}

/// Which object a YAML document that cannot be parsed would be, from the lines that usually say so.
fn identify(document: &str) -> Option<ObjectKey> {
    let mut kind = None;
    let (mut name, mut namespace) = (None, None);
    let mut section = "";
    for line in document.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let indented = key.starts_with(' ');
        if !indented {
            section = key;
        }
        let value = value.split(" #").next().unwrap_or_default();
        let value = value.trim().trim_matches(['"', '\'']);
        let depth = key.len() - key.trim_start().len();
        match (section, key.trim(), depth) {
            ("kind", "kind", 0) => kind = Kind::from_name(value),
            ("metadata", "name", 1..=4) => name = name.or(Some(value)),
            ("metadata", "namespace", 1..=4) => namespace = namespace.or(Some(value)),
            _ => {}
        }
    }
    let name = name.filter(|name| !name.is_empty())?;
    Some(ObjectKey::new(kind?, namespace.unwrap_or_default(), name))
}

fn line_at(text: &str, offset: usize) -> u64 {
    let before = &text.as_bytes()[..offset];
    1 + before.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}
