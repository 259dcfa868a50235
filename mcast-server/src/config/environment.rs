//! Settings from the environment and from flags.

use std::sync::Arc;

use super::arguments::ServeArguments;
use super::document::{Document, Leaf, unknown_key};
use super::error::{Origin, Problem};
use super::input::Data;
use super::surroundings::Surroundings;
use super::{schema, suggest};

/// What every variable's name begins with.
pub(super) const PREFIX: &str = "MCAST_";
/// What those begin with that are for `mcast-server ctl`.
const OF_CTL: &str = "MCAST_CTL_";

/// The variable of the key at `path`: `MCAST_HTTP__LISTEN`.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// What the environment says. A variable that names no setting is warned about: something else may have set it.
pub(super) fn from_variables(
    around: &Surroundings,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Document {
    let mut document = Document::default();
    let paths = schema::paths();
    let base = Arc::new(around.folder.clone());
    for (name, value) in &around.variables {
        let ours = |name: &&str| name.starts_with(PREFIX) && !name.starts_with(OF_CTL);
        let Some(name) = name.to_str().filter(ours) else { continue };
        let Some(path) = paths.iter().find(|path| variable(path) == name) else {
            warnings.push(unknown_variable(name, &paths));
            continue;
        };
        let origin = Origin::Environment(name.to_owned());
        match value.to_str() {
            Some(text) => {
                let leaf = Leaf { data: Data::Word(text.to_owned()), origin, base: base.clone() };
                document.values.insert(path.clone(), leaf);
            }
            None => problems.push(Problem::new(origin, format!("{path}: its value is no UTF-8"))),
        }
    }
    document
}

fn unknown_variable(name: &str, paths: &[String]) -> String {
    let of_list = |list: &&str| name.starts_with(&format!("{}__", variable(list))) || name == variable(list);
    if let Some(list) = schema::LISTS.into_iter().find(of_list) {
        return format!("variable {name} has no effect: [[{list}]] can only be set in the file");
    }
    let names = paths.iter().map(|path| variable(path)).collect::<Vec<_>>();
    match suggest::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("variable {name} names no setting, did you mean {near}?"),
        None => format!("variable {name} names no setting"),
    }
}

/// What the flags say: those of `--set`, and before them those with a name of their own.
pub(super) fn from_flags(arguments: &ServeArguments, around: &Surroundings, problems: &mut Vec<Problem>) -> Document {
    let mut document = Document::default();
    let base = Arc::new(around.folder.clone());
    let paths = schema::paths();
    for assignment in &arguments.set {
        let origin = Origin::Flag("--set".to_owned());
        if !paths.contains(&assignment.key) {
            problems.push(unknown_flag(&assignment.key, origin));
        } else if schema::is_secret(&assignment.key) {
            // Everybody on this host sees a program's arguments.
            let problem =
                Problem::new(origin, format!("{}: a secret does not belong into a command line", assignment.key));
            problems.push(problem.with_help(format!(
                "use {}_file, or the variable {}",
                assignment.key,
                variable(&assignment.key)
            )));
        } else {
            let leaf = Leaf { data: Data::Word(assignment.value.clone()), origin, base: base.clone() };
            document.values.insert(assignment.key.clone(), leaf);
        }
    }
    for (flag, path, value) in arguments.overrides() {
        let leaf = Leaf { data: Data::Word(value), origin: Origin::Flag(flag.to_owned()), base: base.clone() };
        document.values.insert(path.to_owned(), leaf);
    }
    document
}

fn unknown_flag(key: &str, origin: Origin) -> Problem {
    let of_list =
        |list: &&&str| key.strip_prefix(**list).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    match schema::LISTS.iter().find(of_list) {
        Some(list) => Problem::new(origin, format!("{key}: [[{list}]] can only be set in the file")),
        None => Problem { origin: Some(origin), ..unknown_key(key) },
    }
}
