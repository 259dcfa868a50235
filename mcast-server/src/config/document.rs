//! A file of settings as keys and values with their places; what the keys mean is not known here, only which there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};
use super::input::Data;
use super::pxe;
use super::{schema, suggest};

/// A value, where it comes from, and the folder that paths in it start from.
///
/// It may be a secret, so that nothing that holds one has a `Debug`.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) data: Data,
    pub(super) origin: Origin,
    pub(super) base: Arc<PathBuf>,
}

/// Values by the paths of their keys.
pub(super) type Values = BTreeMap<String, Leaf>;

/// An element of `[[image]]` or another list of tables.
#[derive(Clone)]
pub(super) struct Element {
    pub(super) origin: Origin,
    pub(super) values: Values,
}

/// What one source says.
#[derive(Clone, Default)]
pub(super) struct Document {
    pub(super) values: Values,
    pub(super) images: Vec<Element>,
    pub(super) tokens: Vec<Element>,
    pub(super) networks: Vec<Element>,
}

impl Document {
    /// Reads `text`, the content of `file`, which is named as seen from `folder`. What is no TOML gives its errors alone: what else is wrong would be
    /// guessed.
    pub(super) fn parse(file: &Path, folder: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut walk = Walk {
            text,
            file: Arc::new(file.to_owned()),
            base: Arc::new(folder.join(file.parent().unwrap_or(Path::new("")))),
            problems,
        };
        if errors.is_empty() {
            return Some(walk.document(table.get_ref()));
        }
        for error in errors {
            let origin = error.span().map(|span| walk.origin(span.start));
            let message = error.message().replace('\n', "; ");
            walk.problems.push(Problem::new(origin, format!("this is no TOML: {message}")));
        }
        None
    }
}

struct Walk<'a> {
    text: &'a str,
    file: Arc<PathBuf>,
    base: Arc<PathBuf>,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn document(&mut self, table: &DeTable<'_>) -> Document {
        let mut document = Document::default();
        let known = Known { prefix: "", paths: schema::paths() };
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "image" => document.images = self.elements("image", key.span().start, value),
                "token" => document.tokens = self.elements("token", key.span().start, value),
                name => self.key(name, key.span().start, value, &known, &mut document.values),
            }
        }
        document.networks = self.networks(table);
        document
    }

    /// The one list that stands in a section.
    fn networks(&mut self, table: &DeTable<'_>) -> Vec<Element> {
        let (section, name) = suggest::split(pxe::NETWORKS);
        let Some(section) = table.get(section).and_then(|section| section.get_ref().as_table()) else {
            return Vec::new();
        };
        let list = section.iter().find(|(key, _)| key.get_ref() == name);
        list.map_or_else(Vec::new, |(key, list)| self.elements(pxe::NETWORKS, key.span().start, list))
    }

    fn elements(&mut self, list: &str, at: usize, value: &Spanned<DeValue<'_>>) -> Vec<Element> {
        let known = Known { prefix: &format!("{list}."), paths: schema::paths_of(list) };
        let items = value.get_ref().as_array().map(|array| array.iter().collect::<Vec<_>>());
        let mut elements = Vec::new();
        for item in items.unwrap_or_else(|| vec![value]) {
            let at = if item.span().is_empty() { at } else { item.span().start };
            match item.get_ref() {
                // [image] instead of [[image]] means the same if it is alone, but a second one would be an error.
                DeValue::Table(table) if value.get_ref().is_array() => {
                    let mut element = Element { origin: self.origin(at), values: Values::new() };
                    for (key, value) in table.iter() {
                        self.key(key.get_ref(), key.span().start, value, &known, &mut element.values);
                    }
                    elements.push(element);
                }
                _ => {
                    let problem = Problem::new(self.origin(at), format!("{list} is no list of tables"));
                    self.problems.push(problem.with_help(format!("write [[{list}]] above the keys of each")));
                }
            }
        }
        elements
    }

    /// Takes the value at `path`, or the keys below it.
    fn key(&mut self, path: &str, at: usize, value: &Spanned<DeValue<'_>>, known: &Known<'_>, values: &mut Values) {
        if known.prefix.is_empty() && path == pxe::NETWORKS {
            return;
        }
        let is_key = known.paths.iter().any(|key| key == path);
        let is_section = known.is_section(path);
        match value.get_ref() {
            DeValue::Table(table) if is_section => {
                for (key, value) in table.iter() {
                    self.key(&format!("{path}.{}", key.get_ref()), key.span().start, value, known, values);
                }
            }
            data if is_key => {
                let start = value.span().start;
                let leaf = Leaf { data: take(data), origin: self.origin(start), base: self.base.clone() };
                values.insert(path.to_owned(), leaf);
            }
            _ if is_section => {
                let problem =
                    Problem::new(self.origin(at), format!("{}{path} is a section, not a value", known.prefix));
                self.problems.push(problem.with_help(known.below(path)));
            }
            DeValue::Table(_) if known.prefix.is_empty() && !path.contains('.') => {
                self.problems.push(unknown_section(path, known).at(self.origin(at)));
            }
            _ => self.problems.push(unknown(path, known).at(self.origin(at))),
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        Origin::File { file: self.file.clone(), line, column: before[start..].chars().count() + 1 }
    }
}

/// The keys that there are, and what to write in front of them in an error.
struct Known<'a> {
    prefix: &'a str,
    paths: Vec<String>,
}

impl Known<'_> {
    fn is_section(&self, path: &str) -> bool {
        self.paths.iter().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The keys of a section, which is the whole of it if `section` is empty.
    fn below(&self, section: &str) -> String {
        let names = self.paths.iter().filter_map(|key| match section {
            "" => Some(key.as_str()),
            _ => key.strip_prefix(section)?.strip_prefix('.'),
        });
        let names = names.map(|name| name.split('.').next().unwrap_or(name).to_owned());
        let mut names = names.collect::<Vec<_>>();
        names.dedup();
        let mut lists = schema::LISTS.into_iter().map(suggest::split).filter(|_| self.prefix.is_empty());
        names.extend(lists.find(|(of, _)| !section.is_empty() && *of == section).map(|(_, list)| list.to_owned()));
        let section = format!("{}{section}", self.prefix);
        format!("[{}] has {}", section.trim_end_matches('.'), suggest::either(&names).replace(" or ", " and "))
    }
}

/// What an unknown key is answered with; for variables and flags too.
pub(super) fn unknown_key(path: &str) -> Problem {
    unknown(path, &Known { prefix: "", paths: schema::paths() })
}

fn unknown(path: &str, known: &Known<'_>) -> Problem {
    let problem = Problem::new(None, format!("unknown key {}{path}", known.prefix));
    let paths = known.paths.iter().map(String::as_str).collect::<Vec<_>>();
    if let Some(near) = suggest::nearest_path(path, &paths) {
        let purpose = schema::help(near).filter(|_| known.prefix.is_empty());
        let purpose = purpose.map_or(String::new(), |purpose| format!(" ({purpose})"));
        return problem.with_help(format!("did you mean {}{near}?{purpose}", known.prefix));
    }
    let section = suggest::split(path).0;
    match section.is_empty() && known.prefix.is_empty() {
        true => problem.with_help(sections(known)),
        false => problem.with_help(known.below(section)),
    }
}

fn unknown_section(name: &str, known: &Known<'_>) -> Problem {
    let problem = Problem::new(None, format!("unknown section {name}"));
    let near = suggest::nearest(name, known.paths.iter().map(|path| top(path)).chain(schema::LISTS));
    match near {
        Some(list) if schema::LISTS.contains(&list) => problem.with_help(format!("did you mean [[{list}]]?")),
        Some(section) => problem.with_help(format!("did you mean [{section}]?")),
        None => problem.with_help(sections(known)),
    }
}

fn sections(known: &Known<'_>) -> String {
    let mut names = known.paths.iter().map(|path| format!("[{}]", top(path))).collect::<Vec<_>>();
    names.dedup();
    names.extend(schema::LISTS.map(|list| format!("[[{list}]]")));
    format!("there are {}", suggest::either(&names).replace(" or ", " and "))
}

fn top(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

fn take(value: &DeValue<'_>) -> Data {
    match value {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(number) => {
            let value = i128::from_str_radix(number.as_str(), number.radix());
            Data::Integer(value.map_or_else(|_| number.to_string(), |value| value.to_string()))
        }
        DeValue::Float(number) => Data::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Data::Boolean(*value),
        DeValue::Datetime(time) => Data::Time(time.to_string()),
        DeValue::Array(items) => Data::List(items.iter().map(|item| take(item.get_ref())).collect()),
        DeValue::Table(_) => Data::Table,
    }
}

impl Problem {
    fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}
