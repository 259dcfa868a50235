//! Settings of the distribution point: a TOML file, the environment, flags; the later go before the earlier.
//!
//! ```text
//!  file ──► document ─┐
//!  environment ───────┼─► fill ──► check ──► files ──► Settings ──► changes, at a reload
//!  flags ─────────────┘    │
//!                       schema: every key, once
//! ```
//!
//! All that is wrong is found before anything is said about it.

// Nothing serves yet.

mod arguments;
mod changes;
mod check;
mod document;
mod environment;
mod error;
mod files;
mod fill;
mod forms;
mod input;
mod kind;
#[allow(dead_code, reason = "the service point that is mounted next uses all of it")]
mod pxe;
mod schedule;
mod schema;
mod secret;
mod settings;
mod show;
mod suggest;
mod surroundings;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) use arguments::ServeArguments;
#[cfg(test)]
pub(crate) use changes::Changes;
pub(crate) use error::{ConfigError, Problem};
#[allow(unused_imports, reason = "the service point that is mounted next names them")]
pub(crate) use pxe::{Pxe, PxeMode};
pub(crate) use schedule::Schedule;
pub(crate) use secret::{Secret, SecretFileError, read_file as read_secret_file};
pub(crate) use settings::{
    AddressSource, Database, Encryption, HostPort, Image, Log, LogFormat, Madcap, MulticastUse, Role, Settings, Token,
    Unlisted, WhenFull,
};
pub(crate) use surroundings::Surroundings;

use document::Document;
use fill::{Filler, Origins};

/// Bytes that a file of settings may have.
const FILE_LIMIT: u64 = 4 << 20;

/// Settings that can be used, and how they came about.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// What is allowed and yet probably not meant, a line each.
    pub(crate) warnings: Vec<String>,
    origins: Origins,
}

impl Loaded {
    /// Reads the file that `arguments` name, the environment and the flags. After a reload the same arguments give
    /// the settings of then.
    pub(crate) fn load(arguments: &ServeArguments, around: &Surroundings) -> Result<Self, ConfigError> {
        let Some(path) = &arguments.config else { return Self::settle(None, arguments, around) };
        let (text, mode) = read(path).map_err(|error| {
            let problem = Problem::new(None, format!("cannot read settings {:?}: {error}", path.display().to_string()));
            ConfigError::new(vec![problem.with_help("--config names a TOML file; an example is server.toml")])
        })?;
        Self::settle(Some(&ConfigFile { path: path.clone(), text, mode }), arguments, around)
    }

    /// What `--check-config` prints: all settings in the file's form, secrets hidden, behind each its origin; then
    /// the warnings.
    pub(crate) fn describe(&self) -> String {
        let mut text = show::describe(&self.settings, &self.origins);
        for (number, warning) in self.warnings.iter().enumerate() {
            text.push_str(if number == 0 { "\n" } else { "" });
            text.push_str(&format!("# warning: {warning}\n"));
        }
        text
    }

    fn settle(
        file: Option<&ConfigFile>,
        arguments: &ServeArguments,
        around: &Surroundings,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let (mut loaded, layers_are_sound) = Self::fill(file, arguments, around, &mut problems);
        // What is no TOML says nothing: then everything would be missing.
        if layers_are_sound {
            let Self { settings, warnings, origins } = &mut loaded;
            files::Files { settings, origins, around, problems: &mut problems }.all(warnings);
        }
        match problems.is_empty() {
            true => Ok(loaded),
            false => Err(ConfigError::new(problems)),
        }
    }

    /// All that needs no look at other files; and whether the file could be read as TOML.
    fn fill(
        file: Option<&ConfigFile>,
        arguments: &ServeArguments,
        around: &Surroundings,
        problems: &mut Vec<Problem>,
    ) -> (Self, bool) {
        let mut warnings = Vec::new();
        let mut origins = Origins::new();
        let mut layers = vec![Document::default()];
        if let Some(ConfigFile { path, text, mode }) = file {
            match Document::parse(path, &around.folder, text, problems) {
                Some(document) => {
                    problems.extend(files::exposed_config(path, *mode, &document));
                    layers[0] = document;
                }
                None => return (Self { settings: Settings::default(), warnings, origins }, false),
            }
        }
        layers.push(environment::from_variables(around, problems, &mut warnings));
        layers.push(environment::from_flags(arguments, around, problems));
        let mut settings = Filler { around, problems, origins: &mut origins }.settings(&layers);
        check::Check { settings: &mut settings, origins: &mut origins, problems }.all();
        warnings.extend(check::warnings(&settings, &origins, around));
        (Self { settings, warnings, origins }, true)
    }
}

/// A file of settings, read.
#[derive(Clone)]
struct ConfigFile {
    path: PathBuf,
    text: String,
    mode: u32,
}

/// The content of a file of settings, and its mode at that time.
fn read(path: &Path) -> io::Result<(String, u32)> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    let mut bytes = Vec::new();
    file.by_ref().take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_LIMIT >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text in UTF-8"))?;
    Ok((text, mode))
}
